"""Do a run's first readings tell whether it will train? By kept records alone, with each study held out in turn."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from repro.config import load
from repro.data.registry import DATASETS
from repro.errors import Damaged, UserError
from repro.measurements import MEASUREMENTS
from repro.measurements.kappa import at_end, first_layer_growth
from repro.measurements.quantities import TRAINS
from repro.records import RunDirectory, find_runs, metrics, readings

if TYPE_CHECKING:
    import pandas as pd

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


def cases(folders: Sequence[Path]) -> tuple[list[Case], list[str]]:
    """Every ended run below some folders that was measured before training, and what of these cannot be read.

    A run that lies in several folders counts once.

    Those that ``--again`` has set aside (``NAME.1``) are passed over, and a study's smoke runs, whose numbers say
    nothing.
    """
    found: dict[str, Case] = {}
    damage: list[str] = []
    for run in find_runs(folders):
        if re.search(r"\.\d+$", run.name) or run.study.endswith("-smoke"):
            continue
        try:
            if run.ended and run.name not in found and (case := _case(run)) is not None:
                found[run.name] = case
        except Damaged as error:
            damage.append(str(error))
        except UserError:  # of another version
            continue
    return list(found.values()), damage


def _case(run: RunDirectory) -> Case | None:
    config = load(run.config_path)
    dataset = DATASETS.get(config.data.name)
    if dataset is None or not dataset.classes:  # the number of classes, and so chance, is not known
        return None
    read = readings(run)
    before = _readings(read, 0)
    if not before:
        return None
    chance = 1 / dataset.classes
    accuracy = float(run.state.get("final", {}).get("train_accuracy", chance))
    early = _readings(read, EARLY) if read["step"].between(1, EARLY).any() else {}
    return Case(
        study=run.study,
        name=run.name,
        network=config.model.network,
        score=max(0.0, (accuracy - chance) / (1 - chance)),
        trains=accuracy >= TRAINS * chance,
        before=before,
        early=early | _loss(run, dataset.classes) if early else {},
    )


def _readings(read: pd.DataFrame, until: int) -> dict[str, float]:
    """The readings at the last measurement within so many steps."""
    rows = read[(read["step"] <= until) & (read["layer"] >= 1)]
    found: dict[str, float] = {}
    for name, of_one in rows.groupby("measurement"):
        of_one = of_one[of_one["step"] == of_one["step"].max()]
        for kappa in MEASUREMENTS[str(name)].kappas if name in MEASUREMENTS else ():
            last = at_end(kappa.table(of_one))["kappa"]
            if len(last):
                last = last.fillna(math.inf)  # entries that are no numbers are no better than singular
                found[kappa.words["median"]] = float(last.median())
                found[f"share of {kappa.words['infinite'].removeprefix('how many of ')}"] = float(
                    (last == math.inf).mean()
                )
                found[LAYERS] = max(found.get(LAYERS, 0.0), float(last.index.max()))
    growth = first_layer_growth(rows)
    return found | ({"growth of the first layer's σmax": growth} if growth is not None else {})


def _loss(run: RunDirectory, classes: int) -> dict[str, float]:
    of_run = metrics(run)
    early = of_run[(of_run["metric"] == "step/cross_entropy") & (of_run["step"] <= EARLY)]["value"]
    return {LOSS: float(early.iloc[-1]) / math.log(classes)} if len(early) else {}


def forecasts(found: Sequence[Case]) -> list[Forecast]:
    """Of every reading at both times that enough runs have, the best first at each time."""
    made = []
    times: dict[str, Callable[[Case], Readings]] = {
        "before training": lambda case: case.before,
        f"after at most {EARLY} steps": lambda case: case.early,
    }
    for when, known in times.items():
        names = dict.fromkeys(name for case in found for name in known(case))
        some = [_forecast(when, name, [case for case in found if name in known(case)], known) for name in names]
        made += sorted(filter(None, some), key=lambda forecast: forecast.rho)
    return made


def _forecast(when: str, name: str, having: Sequence[Case], known: Callable[[Case], Readings]) -> Forecast | None:
    from scipy import stats

    chosen = [(case, known(case)[name]) for case in having if not math.isnan(known(case)[name])]
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
