"""How strong a network's skip connections are, where a dial, ReZero or Fixup scales them or their paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from repro.measurements.description import FigureSpec, Measurement, PanelSpec, at_end
from repro.measurements.reading import Reading

if TYPE_CHECKING:
    from repro.measurements.probe import Probe


def strengths(probe: Probe) -> Iterator[Reading]:
    """The number that scales a shortcut, a path or the skips to the output; nothing where none does.

    A block's are told of its last weight layer, the output's of the network's last.
    """
    from repro.networks.families.scale import Scale

    if probe.ranks.rank != 0:
        return
    for name, module in probe.network.named_modules():
        if isinstance(module, Scale):
            block, _, kind = name.removesuffix("scale").rstrip(".").rpartition(".")
            layer = next(
                each for each in reversed(probe.layers) if each.name.startswith(f"{block}.path." if block else "")
            )
            yield Reading("skips", layer.index, layer.name, kind or "output", {"strength": float(module.value)})


_PANELS = tuple(
    PanelSpec(title=title, y=letter, mode=mode, quantity="strength", scale="linear")
    for mode, title, letter in (("shortcut", "Shortcuts", "α"), ("path", "Paths", "β"), ("output", "Output", "s"))
)

SKIPS = Measurement(
    name="skips",
    says="the factors of shortcuts, paths and skip connections to the output, fixed or learned",
    take=strengths,
    quantities=(
        at_end("skips_median", "median strength α of the shortcuts", mode="shortcut", quantity="strength"),
        at_end("paths_median", "median scale β of the paths (ReZero, Fixup)", mode="path", quantity="strength"),
        at_end("output_skips", "scale s of the skips to the output", mode="output", quantity="strength"),
    ),
    figures=(
        FigureSpec(
            name="skips",
            heading="Strength of the skip connections",
            caption="""The factors of each block's shortcut (α), of its path (β, in ReZero and Fixup) and of the
                skip connections to the output (s). Thin: before training; thick: at the last measurement.""",
            panels=_PANELS,
        ),
    ),
)
