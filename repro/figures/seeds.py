"""Several seeds of one network as one trace: the middle one, and a band from the lowest to the highest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from repro.figures.panels import Trace


def pooled(traces: Sequence[Trace]) -> list[Trace]:
    """Traces of one label and kind as one, where they have the same x; one that has another x stays by itself.

    The middle one counts infinite values as the largest and what is no number above them, so that it shows what most of
    the seeds do; of two it is the higher.
    """
    groups: dict[tuple[str, str, bytes], list[Trace]] = {}
    for trace in traces:
        groups.setdefault((trace.label, trace.kind, trace.x.tobytes()), []).append(trace)
    return [_pool(group) if len(group) > 1 else group[0] for group in groups.values()]


def _pool(group: Sequence[Trace]) -> Trace:
    values = np.stack([trace.y for trace in group])
    order = np.argsort(values, axis=0, kind="stable")  # NaN last, after infinity
    middle = order[len(group) // 2]
    low, y, high = (np.take_along_axis(values, of[None], axis=0)[0] for of in (order[0], middle, order[-1]))
    words = [word for word in group[0].about if all(word in trace.about for trace in group)]
    about = {word: [group[run].about[word][point] for point, run in enumerate(middle)] for word in words}
    perfect = [trace.singular for trace in group if trace.singular is not None]
    singular = np.take_along_axis(np.stack(perfect), middle[None], axis=0)[0] if len(perfect) == len(group) else None
    return replace(group[0], y=y, band=(low, high), runs=len(group), about=about, singular=singular)
