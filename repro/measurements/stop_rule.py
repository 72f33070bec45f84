"""``--stop-when "train_accuracy < 12 and first_layer_growth > 1000"``: a run ends when its diagnosis is clear."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from repro.errors import UserError, unknown
from repro.measurements import quantities
from repro.measurements.comparisons import COMPARISON, OPERATORS, number

_KEY = "training.stop_when"


@dataclass(frozen=True)
class StopRule:
    """Comparisons that have to hold together; a quantity that there is no value of, or no number, fulfils none."""

    text: str
    comparisons: tuple[tuple[float | str, str, float | str], ...]

    @classmethod
    def of(cls, text: str, measured: Collection[str]) -> StopRule:
        """Read a rule: comparisons of what is measured, in the grammar of claims, without cells, joined by ``and``.

        `UserError` if it cannot be read, or speaks of what is not known while the run goes on.
        """
        comparisons: list[tuple[float | str, str, float | str]] = []
        for part in re.split(r"\s+and\s+", text.strip()):
            match = COMPARISON.fullmatch(part)
            if match is None:
                raise UserError(
                    f"{_KEY} '{text}' cannot be read at '{part}'; write QUANTITY, one of < <= == >= >, then a number, "
                    "or LOW <= QUANTITY <= HIGH; several joined by and"
                )
            left, right = (_operand(match[side], measured) for side in ("left", "right"))
            comparisons += [(_operand(match["low"], measured), match["first"], left)] if match["low"] else []
            comparisons.append((left, match["sign"], right))
        if all(isinstance(side, float) for a, _, b in comparisons for side in (a, b)):
            raise UserError(f"{_KEY} '{text}' names no quantity; such as train_accuracy < 12")
        return cls(text, tuple(comparisons))

    def met(self, values: Mapping[str, float]) -> str | None:
        """The rule and the values (of `repro.measurements.quantities.so_far`) that fulfil it, in words; else None."""

        def value(side: float | str) -> float:
            return side if isinstance(side, float) else values.get(side, float("nan"))

        if not all(OPERATORS[sign](value(a), value(b)) for a, sign, b in self.comparisons):
            return None
        named = dict.fromkeys(side for a, _, b in self.comparisons for side in (a, b) if isinstance(side, str))
        return f"{self.text} ({', '.join(f'{name} is {values[name]:.6g}' for name in named)})"


def _operand(text: str, measured: Collection[str]) -> float | str:
    if (value := number(text)) is not None:
        return value
    known = quantities.names_so_far(measured)
    name = re.sub(r"\[[0-9]+\]$", "[LAYER]", text)
    if name in known:
        return text
    if taken := [measurement for measurement, names in quantities.by_measurement().items() if name in names]:
        raise UserError(
            f"{_KEY} speaks of {text}, which the measurement {taken[0]} gives; add it to --measure.measurements"
        )
    raise unknown("quantity", text, known, extra=f"in {_KEY}")
