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
    values = np.sort(np.stack([trace.y for trace in group]), axis=0)  # NaN last, after infinity
    return replace(group[0], y=values[len(group) // 2], band=(values[0], values[-1]), runs=len(group))
