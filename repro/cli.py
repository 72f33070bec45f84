"""The command `repro`. Each command imports what it needs when it is called, so that help and errors are immediate."""

from __future__ import annotations

import argparse
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from repro import __version__
from repro.commands.trust import take_trust
from repro.config.gone import refuse_gone
from repro.errors import UserError, limit_reached, unknown
from repro.importing import trusting
from repro.machine import prepare
from repro.runs.stop import CannotSave, defer_sigusr1
from repro.text import PlainOutput, shell

if TYPE_CHECKING:
    from repro.records import RunDirectory
    from repro.runs.stop import Interrupted

Arguments = Sequence[str]


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are `UserError`s with the nearest option."""

    def error(self, message: str) -> NoReturn:
        if match := re.match(r"unrecognized arguments: (\S+)", message):
            options = [option for action in self._actions for option in action.option_strings]
            if match[1].startswith("-"):
                refuse_gone(match[1].split("=")[0])
                raise unknown("flag", match[1].split("=")[0], options, extra=f"see {self.prog} --help")
            raise UserError(f"unexpected argument '{match[1]}'; see {self.prog} --help")
        raise UserError(f"{message}; see {self.prog} --help")


def _parser(command: str, description: str) -> _Parser:
    return _Parser(prog=f"repro {command}", description=description, allow_abbrev=False)


def fit(arguments: Arguments) -> int:
    """Train a network; the same command again goes on, or skips a finished run."""
    from repro.config import parse
    from repro.distributed.processes import is_first_rank
    from repro.runs.budget import Budget
    from repro.runs.start import start
    from repro.runs.stop import Interrupted

    own = _Parser(prog="repro fit", add_help=False, allow_abbrev=False)
    own.add_argument("--again", action="store_true")
    own.add_argument("--budget", type=Budget.of, default=Budget())
    given, rest = own.parse_known_args(arguments)
    config, base = parse(rest, command="fit")
    try:
        outcome = start(config, base, again=given.again, ends=given.budget.ends)
    except Interrupted as reason:
        return _interrupted(reason)
    if not is_first_rank():
        return 0
    if outcome.action == "skipped":
        print(f"{outcome.state['status']} before; --again trains it anew")
        if lacking := _not_measured(outcome.run, config.measure.measurements):
            command = shell("repro", "measure", outcome.run.path, "--measurements", *lacking)
            print(f"  it was not asked for {', '.join(lacking)}: {command}")
    _print_state(outcome.run.path, outcome.state)
    return 0


def _not_measured(run: RunDirectory, wanted: Sequence[str]) -> list[str]:
    """Measurements that a run's own configuration does not have."""
    from repro.config import load

    own = load(run.config_path).measure
    return [name for name in wanted if name not in (*own.measurements, *own.every_n_steps)]


def _print_state(path: Path, state: dict[str, object]) -> None:
    print(f"{path}: {state['status']} after {state.get('step', 0)} steps, {state.get('seconds', 0)} s")
    if "reason" in state:
        print(f"  {state['reason']}")
    if isinstance(solution := state.get("solution"), dict):
        print(
            f"  rank {solution['rank']:,} of {solution['images']:,} images x {solution['features']:,} features, "
            f"residual {solution['residual']:.3g}"
        )
    _print_metrics(state.get("final", {}))


def _print_metrics(metrics: object) -> None:
    assert isinstance(metrics, dict)
    for name, value in metrics.items():
        print(f"  {name.replace('_', ' ')}: {f'{100 * value:.2f} %' if 'accuracy' in name else f'{value:.4g}'}")


def _interrupted(reason: Interrupted) -> int:
    """Say where a run stopped, and put its SLURM job back into the queue if that is why it stopped."""
    from repro.data.loading.workers import SIGNALS
    from repro.distributed.processes import is_first_rank
    from repro.runs.requeue import requeue
    from repro.runs.stop import OUT_OF_TIME

    if not is_first_rank():
        return 0  # the first one speaks for all; a failure would have the others killed before it has
    why = "the budget is used up: " if reason.signal == OUT_OF_TIME else ""
    print(f"repro: {why}{reason}; the same command goes on from there", file=sys.stderr, flush=True)
    if reason.signal == OUT_OF_TIME:
        return 0  # that is what was asked for
    if "SLURM_JOB_ID" in os.environ:  # it sends SIGTERM to what it requeues: all is saved, and this ends anyway
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if answer := requeue(reason.signal):
        print(f"repro: {answer}", file=sys.stderr, flush=True)
    return 128 + reason.signal if reason.signal in SIGNALS else 1


def validate(arguments: Arguments) -> int:
    """Evaluate a run's newest checkpoint, or one that is named, on its validation split."""
    return _evaluate(arguments, "validate", ["validation"])


def test(arguments: Arguments) -> int:
    """Evaluate a run's newest checkpoint, or one that is named, on the training and test sets."""
    return _evaluate(arguments, "test", ["train", "test"])


def _evaluate(arguments: Arguments, command: str, parts: Sequence[str]) -> int:
    from repro.config import parse
    from repro.records import RunDirectory
    from repro.runs.start import locate, newest_checkpoint, stored_checkpoint

    if arguments and not arguments[0].startswith("-"):
        _, start, checkpoint = stored_checkpoint(arguments[0])
        config, _ = parse(arguments[1:], command=command, start=start)
    else:
        config, base = parse(arguments, command=command)
        checkpoint = newest_checkpoint(RunDirectory.open(locate(config, base).path))
    if "validation" in parts and not config.data.validation_size:
        raise UserError("the run has no validation split; train with --data.validation_size N, or use repro test")
    from repro.runs.build import evaluate

    found = evaluate(config, checkpoint)
    print(f"{checkpoint}:")
    _print_metrics({name: value for name, value in found.items() if name.split("_")[0] in parts})
    return 0


def study(arguments: Arguments) -> int:
    """Plan, run, follow and report the studies: one file for each artefact of a paper."""
    from repro.commands import study as command
    from repro.runs.stop import Interrupted

    try:
        return command.main(arguments, _parser("study", study.__doc__ or ""))
    except Interrupted as reason:
        return _interrupted(reason)


def demo(arguments: Arguments) -> int:
    """Train PlainNet, ResNet and ResNeXt of 110 layers on real digits and report their conditioning."""
    from repro.commands.study import report_or_run
    from repro.runs.budget import Budget
    from repro.runs.stop import Interrupted
    from repro.studies.study import load

    parser = _parser("demo", demo.__doc__ or "")
    parser.add_argument("--seed", type=int, nargs="+", help="seeds (default: 0)")
    parser.add_argument("--runs", default="runs", help="folder of all run directories (default: runs)")
    parser.add_argument("--again", action="store_true", help="train anew what is finished")
    parser.set_defaults(preset=None, jobs=None, budget=Budget())
    os.environ.setdefault("WANDB_MODE", "disabled")  # its charts take time, and the record has everything
    try:
        return report_or_run(load("demo"), parser.parse_args(arguments), run=True, command="repro demo")
    except Interrupted as reason:
        return _interrupted(reason)


def report(arguments: Arguments) -> int:
    """Make one page, with tables and figures, of run directories or folders of runs."""
    parser = _parser("report", report.__doc__ or "")
    parser.add_argument("paths", nargs="*", type=Path, metavar="DIR", help="run directories, or folders that hold some")
    parser.add_argument("--all", action="store_true", help="every study of both papers, from --runs and --results")
    from repro.studies.plan import RESULTS

    parser.add_argument("--runs", type=Path, default=Path("runs"), help="for --all: folder of runs (default: runs)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="for --all: kept records (default: results)")
    parser.add_argument("--out", type=Path, required=True, help="folder for index.html, tables.md and figures")
    given = parser.parse_args(arguments)
    if given.all == bool(given.paths):
        raise UserError("repro report takes run directories or --all, one of the two")
    from repro.report import build, build_all

    print(build_all([given.runs, given.results], given.out) if given.all else build(given.paths, given.out))
    return 0


def measure(arguments: Arguments) -> int:
    """Measure a run's checkpoint, or any network on a folder of images."""
    from repro.commands import measure as command

    return command.main(arguments, _parser("measure", measure.__doc__ or ""))


def theory(arguments: Arguments) -> int:
    """Check both papers' theorems, lemmas and remarks by experiment: numbers, figures, a page, a verdict each."""
    from repro.commands import theory as command

    return command.main(arguments, _parser("theory", theory.__doc__ or ""))


def landscape(arguments: Arguments) -> int:
    """Draw the loss surface around a trained network, over two directions."""
    from repro.commands import landscape as command

    return command.main(arguments, _parser("landscape", landscape.__doc__ or ""))


def runs(arguments: Arguments) -> int:
    """List, show, compare and clean run directories."""
    from repro.commands import runs as command

    return command.main(arguments, _parser("runs", runs.__doc__ or ""))


def data(arguments: Arguments) -> int:
    """Prepare, check and show data sets: on a login node, before training, which never downloads."""
    from repro.commands import data as command

    return command.main(arguments, _parser("data", data.__doc__ or ""))


def wandb_sync(arguments: Arguments) -> int:
    """Send the records of runs and studies to Weights & Biases, as often as you like: only what is new is sent."""
    from repro.commands import wandb_sync as command

    return command.main(arguments, _parser("wandb-sync", wandb_sync.__doc__ or ""))


def doctor(arguments: Arguments) -> int:
    """Check a machine for a study or a configuration, before a cluster does: one line a check."""
    from repro.commands import submit as command

    return command.doctor(arguments, _parser("doctor", doctor.__doc__ or ""))


COMMANDS: dict[str, Callable[[Arguments], int]] = {
    "fit": fit,
    "validate": validate,
    "test": test,
    "study": study,
    "runs": runs,
    "report": report,
    "measure": measure,
    "theory": theory,
    "landscape": landscape,
    "data": data,
    "doctor": doctor,
    "wandb-sync": wandb_sync,
    "demo": demo,
}


def _help() -> str:
    lines = [f"  {name:10} {function.__doc__}" for name, function in COMMANDS.items()]
    return "\n".join(
        [
            "usage: repro COMMAND ...",
            "",
            "Reproduce, extend and check two papers on why skip connections make very deep networks trainable.",
            "",
            *lines,
            "",
            "repro COMMAND --help explains each. Exit status: 0 done, 1 a run failed, 2 a mistake in what was asked.",
            "Code that a file names (package.module:Name) is imported only if you trust it: --trust NAME[,NAME].",
        ]
    )


def run(arguments: Arguments, *, before: Callable[[], None] = lambda: None) -> int:
    """Run a command line without the program's name; returns the exit status.

    Args:
        arguments: The command and what follows it.
        before: What is done before a command, its mistakes told in the same way.
    """
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if arguments[0] == "--version":
        print(f"repro {__version__}")
        return 0
    try:
        if arguments[0] not in COMMANDS:
            raise unknown("command", arguments[0], COMMANDS)
        before()
        rest, names = take_trust(arguments[1:])
        with trusting(names):
            return COMMANDS[arguments[0]](rest)
    except UserError as mistake:
        print(f"repro: {mistake}", file=sys.stderr)
        return 2
    except CannotSave as reason:
        print(f"repro: {reason}", file=sys.stderr)
        return 1
    except OSError as error:
        if isinstance(error, BrokenPipeError) or (told := limit_reached(error)) is None:
            raise
        print(f"repro: {told}", file=sys.stderr)
        return 1
    except MemoryError:
        print("repro: memory is used up; give it less to do at a time, or close other programs", file=sys.stderr)
        return 1


def main() -> NoReturn:
    """The console command."""
    if "SLURM_JOB_ID" in os.environ:
        defer_sigusr1()
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by the caller
            setattr(sys, stream, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = PlainOutput(sys.stdout)
    if isinstance(sys.stderr, io.TextIOWrapper):  # progress bars steer the terminal
        sys.stderr.reconfigure(errors="backslashreplace")
    try:
        status = run(sys.argv[1:], before=prepare)  # here alone: whoever imports the package keeps the environment
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    if "SLURM_JOB_ID" in os.environ:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # what is done cannot be stopped
    sys.exit(status)
