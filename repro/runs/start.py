"""Where a configuration's run is, and what starting it means: begin, go on, extend, or leave a finished one alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from repro.config import Config, determining, former_identities, identity, load, run_name, to_flat, to_yaml
from repro.distributed.processes import check_layout, is_first_rank, require_others
from repro.errors import UserError, unlike
from repro.records import NO_SPACE, RunDirectory
from repro.runs.extension import go_on_from, longest_shorter
from repro.runs.stop import CannotSave, StopRequest
from repro.runs.validation import check, full_batch, own_code, with_batch_size
from repro.text import say


@dataclass(frozen=True)
class ResolvedRun:
    """A configuration that was checked against its data, and where its run is."""

    config: Config
    """The configuration, with the batch size as a number."""
    fingerprint: str
    """Fingerprint of the data and of the user's own code."""
    directory: RunDirectory
    """The run's directory, which may not exist yet."""


class StartOutcome(NamedTuple):
    """What starting a run has led to."""

    run: RunDirectory
    action: Literal["trained", "skipped"]
    state: dict[str, Any]


def resolve(config: Config, base: Config | None = None) -> ResolvedRun:
    """Check a configuration, once, and find its run.

    A run is found by its identity, so that the same configuration written in another way is the same run; one that an
    older version made is found by the identity that it gave. A new name's readable part is what differs from `base`.
    `UserError` for anything that `repro.runs.validation.check` refuses.
    """
    config, base = full_batch(config), base or Config()
    if base.data.batch_size == "full":
        base = with_batch_size(base, int(config.data.batch_size))
    fingerprint = check(config)
    return ResolvedRun(config, fingerprint, _directory(config, base, fingerprint))


def _directory(config: Config, base: Config, fingerprint: str) -> RunDirectory:
    folder = Path(config.runs) / config.study
    name = run_name(config, base, fingerprint)
    if not (folder / name).exists():
        for path in sorted(folder.glob(f"*-{identity(config, fingerprint)}")):
            return RunDirectory(path)
        for path in _formerly(folder, config, fingerprint):
            if not own_code(config) and is_result_of(RunDirectory(path), config):
                return RunDirectory(path)
    return RunDirectory(folder / name)


def _formerly(folder: Path, config: Config, fingerprint: str) -> list[Path]:
    """The runs of a folder that have a name which an older version would have given."""
    names = dict.fromkeys(former_identities(config, fingerprint))
    return [path for name in names for path in sorted(folder.glob(f"*-{name}"))]


def is_result_of(run: RunDirectory, config: Config) -> bool:
    """Whether a run's record is that of a configuration, whatever its name.

    Not that of a run which an older version extended to more epochs: its milestones lay elsewhere.
    """
    try:
        recorded = load(run.config_path)
    except UserError:  # damaged, or of another version
        return False
    extended = bool(run.state.get("extended_from")) and bool(recorded.training.milestones)
    return not extended and determining(recorded) == determining(config)


def start(
    run: Config | ResolvedRun, *, again: bool = False, label: str | None = None, ends: float = math.inf
) -> StartOutcome:
    """Run a configuration to its end; or, by `ends` of `time.monotonic`, until shortly before, with a checkpoint.

    A new run begins; an unfinished one goes on from its newest checkpoint; a finished one is left alone, unless `again`
    asks for a new one (the old directory is renamed, not overwritten). Another number of epochs is another run; where
    no milestone depends on that number, it goes on from where a shorter one ended. `UserError` for a mistake in the
    configuration, missing data, or a directory in use; a directory made for nothing is removed.
    """
    stop = StopRequest(ends)
    with stop.listening():
        resolved = run if isinstance(run, ResolvedRun) else resolve(run)
        directory = resolved.directory
        with _opened(resolved, stop, again=again) as due:
            if not due:
                return StartOutcome(directory, "skipped", directory.state)
            from repro.runs.session import fit

            return StartOutcome(
                directory,
                "trained",
                fit(resolved.config, directory, stop, fingerprint=resolved.fingerprint, anew=again, label=label),
            )


@contextmanager
def _opened(resolved: ResolvedRun, stop: StopRequest, *, again: bool) -> Iterator[bool]:
    """The run's directory, made if it is new, and locked; the errors of what is done there put into words.

    Yields whether there is anything to do.
    """
    config, run = resolved.config, resolved.directory
    check_layout(config)
    require_others(config)
    new = not run.path.exists()
    if new and is_first_rank():
        _tell_namesakes(run, config, resolved.fingerprint)
    if not new and run.config_path.exists():
        _same(run, config)
    if not new and not again and run.ended:  # nothing is written: it may lie where nothing can be
        yield False
        return
    if again and not new and is_first_rank():
        with run.lock():
            pass  # refuses while somebody trains here
        run.set_aside()
        new = True
    if is_first_rank():
        RunDirectory.prepare(run.path, to_yaml(config))
        with _told_of_the_disk(run):
            if new:
                run.update_state(code=own_code(config) or None)
                if not again and (shorter := longest_shorter(run, config, resolved.fingerprint)):
                    go_on_from(shorter, run, config)
    with run.lock(stop.taken_over) if is_first_rank() else nullcontext():
        if run.ended and not again:
            yield False
            return
        if not new and is_first_rank():
            run.rewrite_config(to_yaml(config))
        with _told_of_the_disk(run):
            try:
                yield True
            except UserError:
                if new and is_first_rank() and not run.saved_checkpoints():
                    run.delete()
                raise


@contextmanager
def _told_of_the_disk(run: RunDirectory) -> Iterator[None]:
    try:
        yield
    except (OSError, CannotSave) as error:
        if not run.config_path.exists():
            raise CannotSave(
                f"'{run.path}' was moved or deleted while it was trained, and what came after is lost; put it back, "
                "and the same command goes on, or begins anew"
            ) from error
        if isinstance(error, CannotSave) or error.errno not in NO_SPACE:
            raise
        raise CannotSave(f"cannot write to '{run.path}': {error.strerror}; make room, and start it again") from error


def _tell_namesakes(run: RunDirectory, config: Config, fingerprint: str) -> None:
    """Say which runs of older versions have this one's former name and are another result."""
    for path in _formerly(run.path.parent, config, fingerprint):
        with suppress(UserError):  # damaged: it says so when it is looked at
            recorded = load(path / "config.yaml")
            if not path.name.endswith(identity(recorded, fingerprint)):
                say(
                    f"note: '{path}', made by an older version, has the name that this run would have "
                    f"had and is another result (of {recorded.trainer.max_epochs} epochs, or extended to that); this "
                    f"run is '{run.name}', and both are kept"
                )


def _same(run: RunDirectory, config: Config) -> None:
    """Refuse a directory whose configuration is another run's."""
    if different := unlike(determining(load(run.config_path)), determining(config)):
        raise UserError(f"'{run.path}' is another run's: {different}; name another with --name or --study")


def stored(path: str | Path) -> tuple[RunDirectory, Config]:
    """An existing run with its configuration, which says where it lies now."""
    run = RunDirectory.open(path)
    config = load(run.config_path)
    place = run.path if len(run.path.parts) > 2 else run.path.absolute()  # typed in the folder of its study
    return run, dataclasses.replace(config, runs=str(place.parent.parent), study=run.study)


def stored_checkpoint(path: str | Path) -> tuple[RunDirectory, Config, Path]:
    """A run with its configuration and one of its checkpoints: the one at `path`, or the newest of a directory's."""
    path = Path(path)
    if path.suffix == ".ckpt" or path.name == RunDirectory.WEIGHTS:
        if not path.is_file():
            raise UserError(f"there is no checkpoint '{path}'")
        folder = path.resolve().parent
        return (*stored(folder.parent if path.suffix == ".ckpt" else folder), path)
    run, config = stored(path)
    return run, config, newest_checkpoint(run)


def newest_checkpoint(run: RunDirectory) -> Path:
    """The newest of a run's checkpoints, of a card's folder its weights; `UserError` if it has none."""
    if not (saved := run.saved_checkpoints() or [path for path in [run.weights_path] if path.is_file()]):
        raise UserError(f"'{run.path}' has no checkpoint; repro fit makes one")
    return saved[-1]


def differences(configs: dict[str, Config]) -> dict[str, dict[str, Any]]:
    """The keys in which configurations differ: key, then name, then value."""
    flat = {name: to_flat(config) for name, config in configs.items()}
    keys = next(iter(flat.values()), {})
    return {
        key: {name: values[key] for name, values in flat.items()}
        for key in keys
        if len({repr(values[key]) for values in flat.values()}) > 1
    }
