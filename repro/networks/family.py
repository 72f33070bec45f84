"""What is known about a family of networks before torch is imported: its depths, its options, who builds it."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from repro.networks.options import Options


@dataclass(frozen=True)
class Depths:
    """The depths that a family has, ascending, such as ``range(8, 10_000, 6)``, and the same in words."""

    values: Sequence[int]
    text: str

    def nearest(self, depth: int) -> Sequence[int]:
        """The allowed depths on both sides of one that is not allowed."""
        above = bisect(self.values, depth)
        return self.values[max(above - 1, 0) : above + 1]


def _depth_alone(depth: int | None, _options: Options) -> int | None:
    return depth


@dataclass(frozen=True, kw_only=True)
class Family:
    """One entry of `repro.networks.NETWORKS`."""

    builder: str
    """Import path of the callable that builds a network, ``builder(spec, options) -> nn.Module``. It is imported, and
    torch with it, when a network is built."""
    takes: Collection[str]
    """The options that the family reads, beside those that all networks accept (`repro.networks.options.UNIVERSAL`)."""
    depths: Callable[[Options], Depths] | None = None
    """The rule for the depth in the name, which may depend on the options; None where the name has no depth."""
    spec: Callable[[int | None, Options], Any] = _depth_alone
    """Works out, free of torch, what the builder is to build: by default the depth alone. Raises UserError for what
    cannot be built. Its docstring's first line says in the help what the family is."""

    def example(self, name: str) -> str:
        """The shortest network of the family called ``name``, with default options."""
        return name if self.depths is None else f"{name}{self.depths(Options()).values[0]}"
