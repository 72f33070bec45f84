"""`repro runs`: what is in the run directories."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from repro.commands.options import Action, Request, argument, command_parser, option
from repro.config import load
from repro.errors import UserError, leave_out
from repro.records import RunDirectory, find_runs
from repro.runs.start import differences, stored
from repro.text import shell

EXAMPLES = ("list", "show runs/single/RUN", "compare RUN RUN", "clean --delete")


class _Listed(Request):
    paths: tuple[Path, ...] = argument("folders of runs", nargs="*", default=(Path("runs"),), metavar="DIR")


class _Shown(Request):
    run: Path = argument("a run directory")


class _Compared(Request):
    paths: tuple[Path, ...] = argument("run directories, or folders of runs", nargs="+", metavar="RUN")


class _Cleaned(_Listed):
    keep: int = option("newest checkpoints of a run to keep", default=1, least=0)
    delete: bool = option("delete; without it, only say what would be deleted", default=False)


def _runs(paths: Sequence[Path]) -> list[RunDirectory]:
    runs = find_runs(paths)
    if not runs:
        raise UserError(f"no run in {', '.join(map(str, paths))}; repro fit or repro demo makes one")
    return runs


def _per_cent(value: object) -> str:
    return f"{100 * value:.2f}" if isinstance(value, float) else "-"


def _digits(value: object) -> str:
    """A number with the digits that mean something: float32 has seven."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _list(request: _Listed) -> int:
    rows = []
    for run in _runs(request.paths):
        try:
            state = run.state
        except UserError as error:  # one must not hide the others
            leave_out(error)
            rows.append([str(run.path), "damaged", *"----", ""])
            continue
        final = state.get("final", {})
        progress = f"{state.get('epoch', 0)}/{state.get('max_epochs', '?')}"
        accuracies = [_per_cent(final.get(name)) for name in ("train_accuracy", "test_accuracy")]
        seconds, reason = f"{state.get('seconds', 0):.0f}", state.get("reason", "")
        rows.append([str(run.path), run.status, progress, *accuracies, seconds, reason])
    _table(("run", "status", "epochs", "train %", "test %", "seconds", "reason"), rows)
    return 0


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _show(request: _Shown) -> int:
    run, _ = stored(request.run)
    state = run.state
    print(f"{run.path}: {run.status}, step {state.get('step', 0)}, {state.get('seconds', 0)} s")
    if reason := state.get("reason"):
        print(f"reason: {reason}")
    if shorter := state.get("goes_on_from"):
        print(f"continues from the end of {shorter}")
    if holder := run.holder:
        print(f"in use by process {holder.get('pid')} on {holder.get('host')}")
    for name, value in state.get("final", {}).items():
        print(f"  {name}: {_digits(value)}")
    for number, life in enumerate(run.lives, 1):
        versions = life.get("versions", {})
        where = f" on {life['host']}" if "host" in life else ""  # kept records do not tell it
        dirty = " with uncommitted changes" if life.get("dirty") else ""
        print(
            f"start {number}: {life.get('started')}{where}, {life.get('device')}, torch {versions.get('torch', '?')}, "
            f"commit {str(life.get('commit') or 'unknown')[:12]}{dirty}"
        )
        print(f"  {shell(*life.get('command', []))}")
    checkpoints = ", ".join(path.name for path in run.saved_checkpoints()) or "none"
    print(f"disk: {_megabytes(run.disk_usage())}; checkpoints: {checkpoints}")
    print(run.config_path.read_text(encoding="utf-8").rstrip())
    return 0


def _compare(request: _Compared) -> int:
    runs, configs = [], {}
    for run in _runs(request.paths):
        try:
            configs[str(run.path)], _ = load(run.config_path), run.state
            runs.append(run)
        except UserError as error:
            leave_out(error)
    if len(runs) < 2:
        raise UserError("compare needs two runs or more that can be read; repro runs list names them")
    rows = [[key, *(str(values[name]) for name in configs)] for key, values in differences(configs).items()]
    for name in sorted({name for run in runs for name in run.state.get("final", {})}):
        rows.append([name, *(_digits(run.state.get("final", {}).get(name, "-")) for run in runs)])
    _table(("", *(run.name for run in runs)), rows)
    return 0


def _clean(request: _Cleaned) -> int:
    total = 0
    for run in _runs(request.paths):
        if damage := run.damage:
            leave_out(damage)
            continue
        saved = run.saved_checkpoints()
        kept = request.keep if run.ended else max(request.keep, 1)  # an unfinished run goes on from its newest
        spare = [*saved[: max(0, len(saved) - kept)], *run.feature_files()]  # features are computed again
        if not spare:
            continue
        size = sum(path.stat().st_size for path in spare)
        if request.delete:
            with run.lock():
                run.delete_checkpoints(kept)
                run.delete_features()
        total += size
        print(f"{run.path}: {', '.join(path.name for path in spare)}, {_megabytes(size)}")
    done = "deleted" if request.delete else "may go (repro runs clean --delete)"
    print(f"{_megabytes(total)} {done}")
    return 0


_ACTIONS = {
    "list": Action(_Listed, _list, "list every run with its state"),
    "show": Action(_Shown, _show, "show one run: configuration, state, starts, disk"),
    "compare": Action(_Compared, _compare, "list the settings and results in which runs differ"),
    "clean": Action(_Cleaned, _clean, "delete checkpoints and stored features that are no longer needed"),
}
parser = partial(command_parser, examples=EXAMPLES, actions=_ACTIONS)
