"""The folder of a card: the card, and of each run the record and the weights as safetensors."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from repro.config import load
from repro.errors import UserError, refusing
from repro.records import MANIFEST, RunDirectory, keep, replace_text
from repro.report.cards.text import model_card
from repro.report.outcomes import RunResult, outcomes, tell_damage
from repro.report.sources import Section, sections
from repro.runs.checkpoint_content import write_weights
from repro.runs.start import newest_checkpoint
from repro.studies.claims import parse

CARD = "README.md"
_MARK = "library_name: repro"


def section_of(run: RunDirectory) -> Section:
    """A run as a section of its own, with what its study, if it has one, says of it alone."""
    if (run.path.parent / MANIFEST).is_file():
        (study,) = sections([run.path.parent])[:1]
        cells = [cell for cell in study.cells if cell.run and cell.run.path.resolve() == run.path.resolve()]
        if cells and not study.damage:
            own = [claim for claim in study.claims if {side.label for side in parse(claim).cells} == {cells[0].label}]
            return replace(study, cells=cells, claims=own)
    (alone,) = sections([run.path])
    return alone


def write(section: Section, out: Path, *, single: bool) -> list[Path]:
    """Write the card's folder, in which files of the same name are replaced, and return the files, the card first.

    A `single` run lies in the folder itself. `UserError` if no run has ended or has weights.
    """
    results = outcomes(section)
    tell_damage(result.status for result in results)
    made = {result.cell.name: result.cell.run for result in results if _has_weights(result)}
    if not made:
        raise UserError(
            f"no run of {section.name} has ended and has its checkpoint here; repro fit or study run makes one"
        )
    folders = {name: "." if single else name for name in made}
    text = model_card(section, results, folders, _checksum(made))
    with _own(out):
        with refusing(f"cannot write '{out}'", "choose another --out"):
            out.mkdir(parents=True, exist_ok=True)
            replace_text(out / CARD, text)  # first: by it the folder is known as a card's
        for name, run in made.items():
            assert run is not None
            keep(run, out / folders[name])
            write_weights(newest_checkpoint(run), out / folders[name] / RunDirectory.WEIGHTS)
    records = [path for folder in folders.values() for path in sorted((out / folder).glob("*")) if _is_record(path)]
    return [out / CARD, *records]


@contextmanager
def _own(out: Path) -> Iterator[None]:
    """Refuse a folder that has other files than those of a card: a run's record would be written over.

    One that is new is removed again if the card cannot be written, or it would be in the way next time.
    """
    with refusing(f"cannot write '{out}'", "choose another --out"):
        taken = out.exists() and any(out.iterdir())
        card = out / CARD
        if taken and not (card.is_file() and _MARK in card.read_text(encoding="utf-8", errors="replace")[:4096]):
            raise UserError(f"'{out}' has other files than those of a card; choose another --out")
    try:
        yield
    except BaseException:
        if not taken:
            shutil.rmtree(out, ignore_errors=True)
        raise


def _has_weights(result: RunResult) -> bool:
    run = result.cell.run
    return result.ended and run is not None and (bool(run.saved_checkpoints()) or run.weights_path.is_file())


def _is_record(path: Path) -> bool:
    names = (
        "config.yaml",
        "environment.json",
        "state.json",
        "metrics.jsonl.gz",
        "readings.jsonl.gz",
        RunDirectory.WEIGHTS,
    )
    return path.name in names


def _checksum(runs: Mapping[str, RunDirectory | None]) -> str | None:
    """The fingerprint of the data that the runs were trained on, if they are here and all the same."""
    from repro.data import fingerprint

    found = set()
    for run in runs.values():
        assert run is not None
        try:
            data = load(run.config_path).data
            found.add(fingerprint(data.name, data.root, data.arguments))
        except UserError:
            return None
    return found.pop() if len(found) == 1 else None
