"""Which of a study's runs can be trained as one: those that differ in seeds and rates alone."""

from __future__ import annotations

from collections.abc import Sequence

from repro.config import Config, to_flat
from repro.errors import UserError
from repro.studies.study import Cell
from repro.training.placement import devices

SEEDS = ("seed", "model.skip_seed", "data.seed")
RATES = tuple(
    f"training.{key}"
    for key in (
        "learning_rate",
        "momentum",
        "weight_decay",
        "warmup_steps",
        "warmup_learning_rate",
        "milestones",
        "factor",
    )
)
_NAMES = ("name", "study", "runs")
FREE = frozenset((*SEEDS, *RATES, *_NAMES))
"""Configuration keys in which the runs of a stack may differ."""


def refusal(config: Config) -> str | None:
    """Why runs of a configuration cannot be trained as one, as text; None if they can."""
    if config.model.train == "output":
        return "model.train output trains one layer on features of its own, which gains nothing"
    if config.training.spectral_penalty:
        return "training.spectral_penalty is taken of each network's own matrices"
    if config.trainer.compile != "none" or config.trainer.graph:
        return "trainer.compile and trainer.graph are for single runs"
    if devices(config) not in (1, "auto") or config.trainer.num_nodes > 1:
        return "a stack trains on one device; set --trainer.devices 1"
    return None


def stacks(cells: Sequence[Cell], size: int) -> list[list[Cell]]:
    """The runs in stacks of up to `size`, in their order; what cannot be stacked is alone.

    Raises:
        UserError: Not even two can be trained as one; the error says why.
    """
    if size < 2:
        raise UserError(f"--stack is {size}; allowed: 2 or more")
    groups: dict[str, list[Cell]] = {}
    for number, cell in enumerate(cells):
        shared = {key: value for key, value in to_flat(cell.config).items() if key not in FREE}
        groups.setdefault(repr(shared) if refusal(cell.config) is None else str(number), []).append(cell)
    found = [group[start : start + size] for group in groups.values() for start in range(0, len(group), size)]
    if len(cells) > 1 and all(len(each) == 1 for each in found):
        raise UserError(f"--stack {size}: {_why(cells)}; run them without --stack")
    return found


def _why(cells: Sequence[Cell]) -> str:
    for cell in cells:
        if (reason := refusal(cell.config)) is not None:
            return f"'{cell.label}' cannot be stacked: {reason}"
    first, second = to_flat(cells[0].config), to_flat(cells[1].config)
    different = [key for key in first if key not in FREE and first[key] != second[key]]
    names = " and ".join(f"'{cell.label}'" for cell in cells[:2])
    return f"no two runs differ in seeds and rates alone: {names} differ in {', '.join(different)}"
