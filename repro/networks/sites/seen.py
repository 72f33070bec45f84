"""How much of a network its weight layers are, and why the rest is not seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from repro.networks.sites.parameters import clean

SHORTCUT = "projections of shortcuts, which are left out"
DYNAMIC = "made from the data, sample by sample"
UNUSED = "not seen at work in this pass: unused, or inside TorchScript"
LOOKED_UP = "looked up, not multiplied"
ELSE = (
    "no real weight of a product that is known: added, scaled by entry, complex, made of other tensors (a DTensor), "
    "or in an operation that hides it"
)
REST = "a part of it acts, and this is the rest"
_NAMED = 4


@dataclass(frozen=True)
class Seen:
    """What share of the matrix parameters (those with two axes or more) the weight layers are."""

    total: int
    """How many numbers the matrix parameters hold."""
    seen: int
    """How many of these numbers act in a weight layer."""
    missing: Mapping[str, Sequence[str]]
    """Names of the other matrix parameters, by the reason."""
    frozen: Sequence[str] = ()
    """Names of those that act and do not train, so that they have neither gradient nor update."""
    foreign: Sequence[str] = ()
    """Names of weights that act and are no parameters: buffers, tensors and layers that are not registered."""
    made: Sequence[str] = ()
    """Names of modules with weights that are made of the data."""

    @property
    def unused(self) -> bool:
        """Whether a matrix parameter took no part in the pass."""
        return UNUSED in self.missing

    @property
    def line(self) -> str:
        """The summary as one line of text."""
        if not self.total:
            return "seen: no parameter has two axes (or FSDP has flattened them), so that no share can be told"
        percent = 100 * self.seen / self.total
        told = f"{percent:.0f}" if percent in (0.0, 100.0) else f"{min(max(percent, 0.1), 99.9):.1f}"
        parts = [f"{_some(names)} ({reason})" for reason, names in self.missing.items()]
        rest = f"; not seen: {'; '.join(parts)}" if parts else ""
        frozen = f"; frozen, without gradients and updates: {_some(self.frozen)}" if self.frozen else ""
        foreign = f"; act, but are no parameters: {_some(self.foreign)}" if self.foreign else ""
        made = f"; act, but are made of the data: weights in {_some(self.made)}" if self.made else ""
        return f"seen: {told} % of {_short(self.total)} matrix parameters{rest}{frozen}{foreign}{made}"

    def as_dict(self) -> dict[str, Any]:
        """The summary as plain values."""
        return {
            "matrix_parameters": self.total,
            "seen": self.seen,
            "not_seen": {reason: list(names) for reason, names in self.missing.items()},
            "frozen": list(self.frozen),
            "not_parameters": list(self.foreign),
            "made_of_data": list(self.made),
            "line": self.line,
        }


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _short(count: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return str(count)


def look_over(
    network: nn.Module,
    sources: frozenset[int],
    aside: Mapping[int, str],
    used: Iterable[int] | None,
    dynamic: Iterable[str],
    foreign: Iterable[str] = (),
    operations: Mapping[int, set[str]] | None = None,
    parts: Mapping[int, int] | None = None,
    trained: Collection[int] = (),
) -> Seen:
    """What of a network's matrix parameters its layers are.

    Args:
        network: The network.
        sources: Identities of the parameters that its weight layers are made of.
        aside: Why parameters are left out on purpose, by identity.
        used: Identities of the parameters that took part in the pass; None if there was none.
        dynamic: Names of modules whose weights are made of the data.
        foreign: Names of weights that are no parameters.
        operations: Names of the operations that took a parameter, by its identity.
        parts: How many numbers act of a parameter of which only parts do, by its identity.
        trained: Identities of the parameters that are in a weight that trains, as a frozen one is with an adapter.
    """
    took_part = None if used is None else set(used)
    made, operations = [name or "the network itself" for name in dynamic], operations or {}
    dynamic = set(dynamic)
    missing: defaultdict[str, list[str]] = defaultdict(list)
    parts, frozen = parts or {}, []
    total = seen = 0
    for name, parameter in network.named_parameters():
        if parameter.ndim < 2 or (id(parameter) not in sources and sum(side > 1 for side in parameter.shape) < 2):
            continue
        total += parameter.numel()
        if id(parameter) in sources:
            seen += (acting := parts.get(id(parameter), parameter.numel()))
            if acting < parameter.numel():
                missing[REST].append(clean(name))
            if not parameter.requires_grad and id(parameter) not in trained:
                frozen.append(clean(name))
            continue
        missing[_reason(clean(name), id(parameter), aside, took_part, dynamic, operations)].append(clean(name))
    return Seen(total, seen, dict(missing), frozen, list(foreign), made)


def _reason(
    name: str,
    number: int,
    aside: Mapping[int, str],
    used: set[int] | None,
    dynamic: set[str],
    operations: Mapping[int, set[str]],
) -> str:
    if number in aside:
        return aside[number]
    if ".shortcut." in f".{name}" and not operations:
        return SHORTCUT
    if used is not None and number not in used:
        return UNUSED
    if name.rpartition(".")[0] in dynamic:
        return DYNAMIC
    if operations.get(number, set()) & {"embedding", "embedding_bag", "index", "index_select", "gather"}:
        return LOOKED_UP
    return ELSE
