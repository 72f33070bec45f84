"""What became of each run of a section, and the numbers that tables and claims speak of."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from repro.data.registry import DATASETS
from repro.errors import UserError, leave_out
from repro.figures import RunRecords
from repro.measurements.quantities import quantities
from repro.records import RunDirectory
from repro.report.sources import ReportCell, Section, configuration
from repro.studies.verdict import Verdict, evaluate

MOST_DRAWN = 24
"""Networks in a figure: of more it has the first, and says so."""
_DAMAGED = "damaged: "
ACCURACIES = ("train_accuracy", "test_accuracy")


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One run's result, or why there is none."""

    cell: ReportCell
    network: str
    status: str
    """In words: ``finished``, ``interrupted at step 120``, ``not run``."""
    ended: bool
    """Whether there is a result, whatever it is."""
    final: dict[str, float] = field(default_factory=dict)
    """Accuracies (fractions) and cross-entropies over whole sets after the final epoch; empty without a result."""
    seconds: float | None = None
    records: RunRecords | None = None
    diverged: bool = False
    """Whether it ended since its loss was not finite."""

    quantities: dict[str, float] = field(default_factory=dict)
    """What claims and tables may speak of (`repro.measurements.quantities`); empty without a result."""

    def result(self, section: Section) -> dict[str, Any]:
        """An entry of ``results.json``; accuracies are fractions, and what is not known is null."""
        state = self.cell.run.state if self.cell.run else {}
        finals = (*ACCURACIES, "train_cross_entropy", "test_cross_entropy")
        return {
            "study": section.key,
            "network": self.network,
            "label": self.cell.label,
            "seed": self.cell.seed,
            **{name: self.final.get(name) for name in finals},
            "seconds": self.seconds,
            "status": self.status,
            "step": state.get("step"),
            "epoch": state.get("epoch"),
            "first_layer_growth": self.quantities.get("first_layer_growth"),
            "reduced": section.reduced,
            "run": self.cell.name,
        }


def outcomes(section: Section, read: dict[Hashable, RunResult] | None = None) -> list[RunResult]:
    """The outcome of every cell, in order; runs are read here and nowhere else.

    Records are those of the first `MOST_DRAWN` labels. What other sections have `read` stands for equal cells; new
    outcomes are put in.
    """
    read = {} if read is None else read
    drawn = set(section.labels[:MOST_DRAWN])
    results = []
    for cell in section.cells:
        key = (cell.run and cell.run.path, cell.label, cell.seed, cell.name)
        result = read[key] if key in read else _outcome(cell, cell.run)
        if cell.label in drawn:
            results.append(read.setdefault(key, result))
        else:
            results.append(replace(result, records=None))  # a thousand runs' would not fit into memory
    return results


def _outcome(cell: ReportCell, run: RunDirectory | None) -> RunResult:
    if run is None:
        return RunResult(cell=cell, network=cell.label, status=cell.damage or "not run", ended=False)
    config, state = configuration(run), run.state
    dataset = DATASETS.get(config.get("data", {}).get("name", ""))
    classes = dataset.classes if dataset else None
    try:
        records = RunRecords.read(run, label=cell.label, classes=classes)
    except UserError as error:  # one must not hide the others
        return _outcome(replace(cell, run=None, damage=f"{_DAMAGED}{error}"), None)
    final = {name: float(value) for name, value in state.get("final", {}).items()} if run.ended else {}
    seconds = float(state["seconds"]) if "seconds" in state else None
    diverged = run.status == "diverged"
    return RunResult(
        cell=cell,
        network=config.get("model", {}).get("network", cell.label),
        status=_status(run),
        ended=run.ended,
        final=final,
        seconds=seconds,
        records=records,
        diverged=diverged,
        quantities=quantities(final, seconds, records, classes=classes, diverged=diverged) if run.ended else {},
    )


def tell_damage(statuses: Iterable[str]) -> None:
    """Name the runs that cannot be read, by what became of each (`RunResult.status`)."""
    for status in statuses:
        if status.startswith(_DAMAGED):
            leave_out(status.removeprefix(_DAMAGED))


def _status(run: RunDirectory) -> str:
    status, step = run.status, run.state.get("step")
    if status == "created":
        return "not started"
    return status if status == "finished" or step is None else f"{status} at step {step:,}"


def values_of(results: Sequence[RunResult], quantity: str, label: str | None = None) -> list[float]:
    """The values of a quantity that results have: all of them, or those of one label."""
    of_label = [outcome.quantities for outcome in results if label in (None, outcome.cell.label)]
    return [values[quantity] for values in of_label if quantity in values]


def records_of(results: Sequence[RunResult]) -> list[RunRecords]:
    """The records of the results that have any."""
    return [outcome.records for outcome in results if outcome.records is not None]


def verdicts(section: Section, results: Sequence[RunResult]) -> list[Verdict]:
    """The verdict on each of the section's claims, by the runs that have ended."""
    values: dict[str, dict[str, dict[int, float]]] = {}
    asked: dict[str, list[int]] = {}
    diverged: dict[str, list[int]] = {}
    for outcome in results:
        label, seed = outcome.cell.label, outcome.cell.seed
        asked.setdefault(label, []).append(seed)
        if outcome.diverged:
            diverged.setdefault(label, []).append(seed)
        for quantity, value in outcome.quantities.items():
            values.setdefault(label, {}).setdefault(quantity, {})[seed] = value
    return [evaluate(claim, values, asked=asked, diverged=diverged) for claim in section.claims]
