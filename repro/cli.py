"""The command `repro`. Each command imports what it needs when it is called, so that help and errors are immediate."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from repro import __version__
from repro.errors import UserError, unknown

if TYPE_CHECKING:
    from repro.studies.study import Study

Arguments = Sequence[str]


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are `UserError`s with the nearest option."""

    def error(self, message: str) -> NoReturn:
        if match := re.match(r"unrecognized arguments: (\S+)", message):
            options = [option for action in self._actions for option in action.option_strings]
            if match[1].startswith("-"):
                raise unknown("flag", match[1].split("=")[0], options, extra=f"see {self.prog} --help")
            raise UserError(f"unexpected argument '{match[1]}'; see {self.prog} --help")
        raise UserError(f"{message}; see {self.prog} --help")


def _parser(command: str, description: str) -> _Parser:
    return _Parser(prog=f"repro {command}", description=description, allow_abbrev=False)


def fit(arguments: Arguments) -> int:
    """Train a network; the same command again goes on, or skips a finished run."""
    from repro.config import parse
    from repro.training.interrupt import Interrupted
    from repro.training.runs import is_first_rank, start

    again = "--again" in arguments
    config, base = parse([argument for argument in arguments if argument != "--again"], command="fit")
    try:
        outcome = start(config, base, again=again)
    except Interrupted as reason:
        return _interrupted(reason)
    if not is_first_rank():
        return 0
    if outcome.action == "skipped":
        print(f"{outcome.state['status']} before; --again makes a new run, a larger --trainer.max_epochs extends it")
    _print_state(outcome.run.path, outcome.state)
    return 0


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
        print(f"  {name.replace('_', ' ')}: {100 * value:.2f} %" if "accuracy" in name else f"  {name}: {value:.4g}")


def _interrupted(reason: Exception) -> int:
    print(f"repro: {reason}, checkpoint saved; the same command goes on from there", file=sys.stderr)
    return 128 + signal.SIGINT


def validate(arguments: Arguments) -> int:
    """Evaluate a run's newest checkpoint on its validation split."""
    return _evaluate(arguments, "validate", ["validation"])


def test(arguments: Arguments) -> int:
    """Evaluate a run's newest checkpoint on the training and test sets."""
    return _evaluate(arguments, "test", ["train", "test"])


def _evaluate(arguments: Arguments, command: str, parts: Sequence[str]) -> int:
    from repro.config import parse
    from repro.records import RunDirectory
    from repro.training.runs import locate, stored

    if arguments and not arguments[0].startswith("-"):
        run, start = stored(arguments[0])
        config, _ = parse(arguments[1:], command=command, start=start)
    else:
        config, base = parse(arguments, command=command)
        run = RunDirectory.open(locate(config, base).path)
    if "validation" in parts and not config.data.validation_size:
        raise UserError("the run has no validation split; train with --data.validation_size N, or use repro test")
    saved = run.saved_checkpoints()
    if not saved:
        raise UserError(f"'{run.path}' has no checkpoint; repro fit makes one")
    from repro.training.fit import evaluate

    found = evaluate(config, saved[-1])
    print(f"{saved[-1]}:")
    _print_metrics({name: value for name, value in found.items() if name.split("_")[0] in parts})
    return 0


def study(arguments: Arguments) -> int:
    """List, run and report the studies: one file for each artefact of a paper."""
    from repro.studies.study import load, names

    parser = _parser("study", study.__doc__ or "")
    commands = parser.add_subparsers(dest="action", required=True, metavar="list|run|report", parser_class=_Parser)
    commands.add_parser("list", help="the studies that there are", allow_abbrev=False)
    for action, text in (("run", "run a study here, then report it"), ("report", "report what has been run")):
        sub = commands.add_parser(action, help=text, allow_abbrev=False)
        sub.add_argument("name", help="a study's name, or the path of a .yaml file")
        sub.add_argument("--preset", help="size at which to run; default: the study's first")
        sub.add_argument("--seed", type=int, nargs="+", help="seeds in place of the preset's")
        sub.add_argument("--runs", default="runs", help="folder of all run directories (default: runs)")
        sub.add_argument("--again", action="store_true", help="run finished cells anew")
    given = parser.parse_args(arguments)
    if given.action == "list":
        for name in names():
            each = load(name)
            print(f"{name:24} {each.paper}, {each.artefact}: {each.title} [{', '.join(each.presets)}]")
        return 0
    chosen = load(given.name)
    return _run_study(chosen, given, run=given.action == "run", command=f"repro study run {given.name}")


def demo(arguments: Arguments) -> int:
    """Train PlainNet, ResNet and ResNeXt of 110 layers on real digits and report their conditioning."""
    from repro.studies.study import load

    parser = _parser("demo", demo.__doc__ or "")
    parser.add_argument("--seed", type=int, nargs="+", help="seeds (default: 0)")
    parser.add_argument("--runs", default="runs", help="folder of all run directories (default: runs)")
    parser.add_argument("--again", action="store_true", help="train anew what is finished")
    given = parser.parse_args(arguments)
    given.preset = None
    return _run_study(load("demo"), given, run=True, command="repro demo")


def _run_study(chosen: Study, given: argparse.Namespace, *, run: bool, command: str) -> int:
    from repro.studies.runner import folder, run_study, write_manifest
    from repro.training.interrupt import Interrupted

    cells = chosen.cells(given.preset, seeds=given.seed, runs=given.runs)
    seeds = f" --seed {' '.join(map(str, given.seed))}" if given.seed else ""
    preset = f" --preset {given.preset}" if given.preset else ""
    place = folder(chosen, given.preset, given.runs)
    failed = []
    if run:
        write_manifest(chosen, given.preset, cells, given.runs, f"{command}{preset}{seeds}")
        try:
            failed = [cell for cell, done in run_study(cells, again=given.again) if done is None]
        except Interrupted as reason:
            return _interrupted(reason)
    from repro.report import build

    page = build([place], place / "report")
    print((page.parent / "tables.md").read_text(encoding="utf-8"))
    print(f"report: {page}")
    for cell in failed:
        print(f"repro: {cell.label} seed {cell.seed} failed; its traceback is above", file=sys.stderr)
    return 1 if failed else 0


def report(arguments: Arguments) -> int:
    """Make one page, with tables and figures, of run directories or folders of runs."""
    parser = _parser("report", report.__doc__ or "")
    parser.add_argument("paths", nargs="+", type=Path, metavar="DIR", help="run directories, or folders that hold some")
    parser.add_argument("--out", type=Path, required=True, help="folder for index.html, tables.md and figures")
    given = parser.parse_args(arguments)
    from repro.report import build

    print(build(given.paths, given.out))
    return 0


def measure(arguments: Arguments) -> int:
    """Measure a run's checkpoint, or any network on a folder of images."""
    from repro.commands import measure as command

    return command.main(arguments, _parser("measure", measure.__doc__ or ""))


def runs(arguments: Arguments) -> int:
    """List, show, compare and clean run directories."""
    from repro.commands import runs as command

    return command.main(arguments, _parser("runs", runs.__doc__ or ""))


def data(arguments: Arguments) -> int:
    """Prepare and check data sets: on a login node, before training, which never downloads."""
    from repro.data import DATASETS, dataset, fingerprint
    from repro.importing import load

    parser = _parser("data", data.__doc__ or "")
    commands = parser.add_subparsers(dest="action", required=True, metavar="list|prepare|check", parser_class=_Parser)
    commands.add_parser("list", help="the data sets that there are", allow_abbrev=False)
    for action, text in (("prepare", "put a data set's files in place"), ("check", "check a data set's files")):
        sub = commands.add_parser(action, help=text, allow_abbrev=False)
        sub.add_argument("name")
        sub.add_argument("--root", type=Path, default=Path("data"), help="folder of prepared data sets (default: data)")
        if action == "prepare":
            source = sub.add_mutually_exclusive_group()
            source.add_argument("--from", type=Path, dest="source", metavar="DIR", help="a local copy, or an archive")
            source.add_argument("--download", action="store_true", help="fetch the files from the network")
    given = parser.parse_args(arguments)
    if given.action == "list":
        for name, each in DATASETS.items():
            ready = "needs no preparing" if each.prepare is None else "needs repro data prepare"
            size = f"{each.train:,} + {each.test:,} images, {each.classes:,} classes, {ready}"
            print(f"{name:12} {size if each.train else 'your own: DIR/train/CLASS/IMAGE and DIR/val/CLASS/IMAGE'}")
        return 0
    chosen = dataset(given.name)
    if given.action == "prepare":
        if chosen.prepare is None:
            print(f"{given.name} needs no preparing")
        else:
            print(load(chosen.prepare)(given.root, given.source, given.download))
    elif chosen.verify is not None:
        print(load(chosen.verify)(given.root))
    print(f"{given.name} is whole: fingerprint {fingerprint(given.name, given.root)}")
    return 0


COMMANDS: dict[str, Callable[[Arguments], int]] = {
    "fit": fit,
    "validate": validate,
    "test": test,
    "study": study,
    "runs": runs,
    "report": report,
    "measure": measure,
    "data": data,
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
        ]
    )


def run(arguments: Arguments) -> int:
    """Run a command line without the program's name; returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if arguments[0] == "--version":
        print(f"repro {__version__}")
        return 0
    try:
        if arguments[0] not in COMMANDS:
            raise unknown("command", arguments[0], COMMANDS)
        return COMMANDS[arguments[0]](list(arguments[1:]))
    except UserError as mistake:
        print(f"repro: {mistake}", file=sys.stderr)
        return 2


def main() -> NoReturn:
    """The console command."""
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    sys.exit(status)
