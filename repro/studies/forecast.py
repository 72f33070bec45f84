"""Do a run's first readings tell whether it will train? By kept records alone, with each study held out in turn."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.config import load
from repro.data.registry import DATASETS
from repro.errors import UserError
from repro.figures import RunRecords
from repro.measurements.kappa import at_end, first_layer_growth
from repro.measurements.quantities import TRAINS, taken
from repro.records import RunDirectory, find_runs

EARLY = 20
"""Steps: the last measurement within them is the early one."""
_FEWEST = 8
LOSS, LAYERS = "loss so far / log(classes)", "number of layers"
"""What needs no condition number, to compare with."""

Readings = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A run that has ended, with what was known of it before and early."""

    study: str
    name: str
    network: str
    score: float
    """Final training accuracy above chance, as a share of what there is above chance; 0 if it diverged."""
    trains: bool
    before: Readings
    """Readings before the first step, by name."""
    early: Readings
    """Readings after at most `EARLY` steps; empty if nothing was measured then."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What one reading, taken at one time, says of the outcome: of small values that the run will train."""

    when: str
    reading: str
    cases: Sequence[Case]
    values: Sequence[float]
    rho: float
    """Spearman's rank correlation of the reading with the score."""
    p: float
    threshold: float
    """Found over all runs: up to it, a run is said to train."""
    precision: float
    """Of the runs that are said to train by a threshold found without their study, the share that do; NaN if none."""
    recall: float
    """Of the runs that train, the share that are said to."""


def cases(folders: Sequence[Path]) -> list[Case]:
    """Every ended run below some folders that was measured before training; one that lies in several counts once.

    Those that ``--again`` has set aside (``NAME.1``) are passed over, and a study's smoke runs, whose numbers say
    nothing.
    """
    found: dict[str, Case] = {}
    for run in find_runs(folders):
        if re.search(r"\.\d+$", run.name) or run.study.endswith("-smoke"):
            continue
        try:
            if run.ended and run.name not in found and (case := _case(run)) is not None:
                found[run.name] = case
        except UserError:  # damaged, or of another version: said where it is looked at itself
            continue
    return list(found.values())


def _case(run: RunDirectory) -> Case | None:
    config = load(run.config_path)
    dataset = DATASETS.get(config.data.name)
    if dataset is None or not dataset.classes:  # the number of classes, and so chance, is not known
        return None
    records = RunRecords.read(run, classes=dataset.classes)
    before = _readings(records, 0)
    if not before:
        return None
    chance = 1 / dataset.classes
    accuracy = float(run.state.get("final", {}).get("train_accuracy", chance))
    early = _readings(records, EARLY) if records.readings["step"].between(1, EARLY).any() else {}
    return Case(
        study=run.study,
        name=run.name,
        network=config.model.network,
        score=max(0.0, (accuracy - chance) / (1 - chance)),
        trains=accuracy >= TRAINS * chance,
        before=before,
        early=early | _loss(records, dataset.classes) if early else {},
    )


def _readings(records: RunRecords, until: int) -> dict[str, float]:
    """The readings at the last measurement within so many steps."""
    rows = records.readings[records.readings["step"] <= until]
    found: dict[str, float] = {}
    for measurement in taken(rows):
        for kappa in measurement.kappas:
            last = at_end(kappa.table(rows))["kappa"]
            if len(last):
                last = last.fillna(math.inf)  # entries that are no numbers are no better than singular
                found[kappa.words["median"]] = float(last.median())
                found[f"share of {kappa.words['infinite'].removeprefix('how many of ')}"] = float(
                    (last == math.inf).mean()
                )
                found[LAYERS] = max(found.get(LAYERS, 0.0), float(last.index.max()))
    growth = first_layer_growth(rows)
    return found | ({"growth of the first layer's σmax": growth} if growth is not None else {})


def _loss(records: RunRecords, classes: int) -> dict[str, float]:
    steps, values = records.series("step/cross_entropy")
    early = values[steps <= EARLY]
    return {LOSS: float(early[-1]) / math.log(classes)} if len(early) else {}


def forecasts(found: Sequence[Case]) -> list[Forecast]:
    """Of every reading at both times that enough runs have, the best first at each time."""
    made = []
    times: dict[str, Callable[[Case], Readings]] = {
        "before training": lambda case: case.before,
        f"after at most {EARLY} steps": lambda case: case.early,
    }
    for when, readings in times.items():
        names = dict.fromkeys(name for case in found for name in readings(case))
        some = [_forecast(when, name, [case for case in found if name in readings(case)], readings) for name in names]
        made += sorted(filter(None, some), key=lambda forecast: forecast.rho)
    return made


def _forecast(when: str, name: str, having: Sequence[Case], readings: Callable[[Case], Readings]) -> Forecast | None:
    from scipy import stats

    chosen = [(case, readings(case)[name]) for case in having if not math.isnan(readings(case)[name])]
    outcomes = [case.trains for case, _ in chosen]
    values = [value for _, value in chosen]
    if len(chosen) < _FEWEST or min(len({case.study for case, _ in chosen}), len(set(outcomes)), len(set(values))) < 2:
        return None
    rho, p = stats.spearmanr(values, [case.score for case, _ in chosen])
    said = held_out(values, outcomes, [case.study for case, _ in chosen])
    right = sum(a and b for a, b in zip(said, outcomes, strict=True))
    return Forecast(
        when=when,
        reading=name,
        cases=[case for case, _ in chosen],
        values=values,
        rho=float(rho),
        p=float(p),
        threshold=threshold(values, outcomes),
        precision=right / sum(said) if any(said) else math.nan,
        recall=right / sum(outcomes),
    )


def held_out(values: Sequence[float], outcomes: Sequence[bool], groups: Sequence[str]) -> list[bool]:
    """For each value whether it is up to the threshold that the values of all other groups give."""
    limits = {}
    for group in set(groups):
        others = [(value, ok) for value, ok, other in zip(values, outcomes, groups, strict=True) if other != group]
        limits[group] = threshold([value for value, _ in others], [ok for _, ok in others])
    return [value <= limits[group] for value, group in zip(values, groups, strict=True)]


def threshold(values: Sequence[float], outcomes: Sequence[bool]) -> float:
    """Up to which value runs are best said to train: at the highest mean of both outcomes' shares of right answers.

    The lowest of several that are as good; halfway to the next value, where that is finite.
    """
    places = sorted(set(values))
    yes, no = (
        sorted(value for value, ok in zip(values, outcomes, strict=True) if ok == kind) for kind in (True, False)
    )

    def quality(limit: float) -> float:
        above = len(no) - bisect_right(no, limit)
        return bisect_right(yes, limit) / max(1, len(yes)) + above / max(1, len(no))

    best = max([-math.inf, *places], key=quality)
    after = next((place for place in places if place > best), math.inf)
    return (best + after) / 2 if math.isfinite(best) and math.isfinite(after) else best
