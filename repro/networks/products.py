"""Which operand of an operation of torch's is a weight, what the operation reads, and what the weight's axes mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from repro.networks.nested import plain

KERNEL = ("depth", "height", "width")
"""Names of a kernel's axes; of fewer than three the last."""

LINEAR = {
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "convolution",
}
"""Names of the operations whose second operand is a weight by its place."""

_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
_GENERAL = ("input", "weight", "bias", "stride", "padding", "dilation", "transposed", "output_padding", "groups")
_PAIRS = {
    **dict.fromkeys(("matmul", "linalg_matmul", "__matmul__", "__rmatmul__", "inner"), ("input", "other")),
    **dict.fromkeys(("mm", "bmm", "_sparse_mm"), ("input", "mat2")),
    "mv": ("input", "vec"),
    "addmm": ("", "mat1", "mat2"),
    "addmv": ("", "mat", "vec"),
    **dict.fromkeys(("baddbmm", "addbmm"), ("", "batch1", "batch2")),
}
"""Operands of products of two tensors, which may be called by name; before them what is added."""

_CELLS = {"lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"}
_RECURRENT = {"lstm", "gru", "rnn_tanh", "rnn_relu"}

Role = Callable[[Tensor], str]
"""Whether a tensor is made of ``data``, or of ``parameters`` alone; empty where it is neither."""


@dataclass(frozen=True)
class Product:
    """A weight at work."""

    kind: str
    """``linear``, ``convolution``, ``transposed``, ``recurrent``, or ``product`` (matmul, einsum, bilinear)."""
    weight: Tensor
    modes: tuple[str, ...]
    """What each axis of the weight is: ``output``, ``input``, ``group``, then the kernel's."""
    read: Tensor | None
    """What the weight is multiplied with; None where a fused kernel hides it."""
    channel: int = -1
    """The axis of what is read that the weight sums over."""
    written: bool = True
    """Whether the operation's result is this product's alone (with its bias), its axes those of what is read."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """A convolution's stride, padding, dilation, groups and output_padding, as it is called."""
    batch: int = 0
    """Of what is read and written with the tokens before the samples: how many samples; 0 where the samples lead."""
    repeated: tuple[int, ...] = ()
    """Axes along which the operand only repeats the weight, for each sample or each group."""
    operand: Tensor | None = None
    """What is multiplied, where it has such axes."""


def weight_modes(axes: int, *, transposed: bool = False) -> tuple[str, ...]:
    """Names of the axes of a linear layer's or convolution's weight; a transposed convolution's input comes first."""
    ends = ("input", "output") if transposed else ("output", "input")
    return (*ends, *KERNEL[len(KERNEL) - (axes - 2) :]) if axes <= 5 else (*ends, *map(str, range(2, axes)))


def products(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], role: Role) -> Iterator[Product]:
    """The weights at work in one operation, by its name; none if it is not a product with a weight."""
    name = name if name.startswith("_") else name.removesuffix("_")  # in place
    if name == "linear":
        bound = {**dict(zip(("input", "weight"), args, strict=False)), **kwargs}
        if role(bound["input"]) == "parameters" and role(bound["weight"]) == "data":
            yield from _inner(bound["input"], bound["weight"], role=role)
        elif bound["weight"].ndim == 2:
            yield Product("linear", bound["weight"], weight_modes(2), bound["input"])
    elif name in LINEAR:
        yield _convolution(name, args, kwargs)
    elif name in _PAIRS:
        bound = {**dict(zip(_PAIRS[name], args, strict=False)), **kwargs}
        pair = [bound[key] for key in _PAIRS[name][-2:]]
        multiply = _inner if name == "inner" else _matmul
        yield from multiply(*(reversed(pair) if name == "__rmatmul__" else pair), role=role)
    elif name in ("einsum", "tensordot"):
        found = (_einsum if name == "einsum" else _tensordot)(*args, **kwargs)
        yield from _summed(*found, role=role) if found is not None else ()
    elif name.endswith("grouped_mm"):  # of experts, whose tokens stand one after another
        bound = {**dict(zip(("input", "mat2"), args, strict=False)), **kwargs}
        if bound["mat2"].ndim == 3 and role(bound["mat2"]) == "parameters":
            yield Product("product", bound["mat2"], ("group", "input", "output"), bound["input"])
    elif name == "bilinear":
        bound = {**dict(zip(("input1", "input2", "weight"), args, strict=False)), **kwargs}
        yield Product("product", bound["weight"], ("output", "input", "input 2"), bound["input1"])
    elif name in _CELLS:
        state = args[1] if isinstance(args[1], Tensor) else args[1][0]
        yield Product("recurrent", args[2], weight_modes(2), args[0], written=False)
        yield Product("recurrent", args[3], weight_modes(2), state, written=False)
    elif name in _RECURRENT:
        yield from _recurrent(args)


def _convolution(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Product:
    names = _TRANSPOSED if "transpose" in name else _GENERAL if name == "convolution" else _CONVOLUTION
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "output_padding": 0}
    bound = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
    weight = bound["weight"]
    transposed = bool(bound.get("transposed", "transpose" in name))
    sides = weight.ndim - 2

    def spread(value: Any) -> Any:
        return value if isinstance(value, str) else (value,) * sides if isinstance(value, int) else tuple(value)

    options = {key: spread(bound[key]) for key in defaults if key != "groups"} | {"groups": bound["groups"]}
    kind = "transposed" if transposed else "convolution"
    read = bound["input"]
    channel = 1 if read.ndim == weight.ndim else 0  # an image by itself
    return Product(kind, weight, weight_modes(weight.ndim, transposed=transposed), read, channel, options=options)


def _matmul(left: Any, right: Any, *, role: Role) -> Iterator[Product]:
    if not all(isinstance(each, Tensor) for each in (left, right)):
        return
    roles = role(left), role(right)
    if roles == ("data", "parameters") and right.ndim > 1 and plain(right):
        modes = (*_groups(right.ndim - 2), "input", "output")
        covered = right.ndim == 2 or left.ndim >= right.ndim  # else the weight's groups come before the samples
        yield replace(_plain(right, modes, left, -1), written=covered)
    elif roles == ("parameters", "data") and left.ndim > 1 and plain(left):
        modes = (*_groups(left.ndim - 2), "output", "input")
        covered = left.ndim == 2 or right.ndim >= left.ndim
        yield replace(_plain(left, modes, right, -2 if right.ndim > 1 else -1), written=covered)


def _inner(left: Any, right: Any, *, role: Role) -> Iterator[Product]:
    """Sums over the last axes of both: x wᵀ, or w xᵀ, whose samples come last."""
    if not all(isinstance(each, Tensor) and each.ndim == 2 for each in (left, right)):
        return
    if (role(left), role(right)) == ("data", "parameters"):
        yield Product("product", right, weight_modes(2), left)
    elif (role(left), role(right)) == ("parameters", "data"):
        yield Product("product", left, weight_modes(2), right, written=False)


def _groups(count: int) -> list[str]:
    return _numbered(["group"] * count)


def _numbered(names: Sequence[str]) -> list[str]:
    return [
        name if (before := names[:place].count(name)) == 0 else f"{name} {before + 1}"
        for place, name in enumerate(names)
    ]


def _plain(weight: Tensor, modes: Sequence[str], read: Tensor, channel: int) -> Product:
    """Without the axes along which the weight is only repeated."""
    operand, kept, repeated = weight, [], []
    for axis in reversed(range(weight.ndim)):
        group = modes[axis].startswith("group")
        if (weight.shape[axis] > 1 and weight.stride(axis) == 0) or (group and weight.shape[axis] == 1):
            weight = weight.select(axis, 0)
            repeated.append(axis)
        else:
            kept.append(modes[axis])
    made = tuple(reversed(kept))
    return Product("product", weight, made, read, channel, repeated=tuple(repeated), operand=operand)


def without_copies(product: Product, numbers: int) -> Product:
    """One of the copies of a weight that is made of so many numbers and copied for every sample or group."""
    weight = product.weight
    if product.operand is None or not product.modes[0].startswith("group") or len(weight) * numbers > weight.numel():
        return product
    if not weight.numel() or bool((weight != weight[:1]).any()):
        return product
    axis = next(axis for axis in range(product.operand.ndim) if axis not in product.repeated)
    return replace(product, weight=weight[0], modes=product.modes[1:], repeated=(*product.repeated, axis))


def _einsum(equation: Any, *operands: Any) -> tuple[str, str, str, Tensor, Tensor] | None:
    tensors = operands[0] if len(operands) == 1 and isinstance(operands[0], list | tuple) else operands
    if not isinstance(equation, str) or len(tensors) != 2:
        return None
    inputs, arrow, output = equation.replace(" ", "").replace("...", ".").partition("->")
    one, _, other = inputs.partition(",")
    if not arrow:
        output = "".join(sorted(label for label in {*one, *other} if (one + other).count(label) == 1))
    return one, other, output, tensors[0], tensors[1]


def _tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: object = None) -> tuple[str, str, str, Tensor, Tensor] | None:  # noqa: ARG001
    if isinstance(dims, Tensor):
        return None
    one = [chr(97 + axis) for axis in range(a.ndim)]
    other = [chr(110 + axis) for axis in range(b.ndim)]
    pairs = (
        zip(range(a.ndim - dims, a.ndim), range(dims), strict=True)
        if isinstance(dims, int)
        else zip(*dims, strict=True)
    )
    for axis, theirs in pairs:
        other[theirs] = one[axis]
    output = "".join(label for label in [*one, *other] if not (label in one and label in other))
    return "".join(one), "".join(other), output, a, b


def _summed(one: str, other: str, output: str, a: Tensor, b: Tensor, *, role: Role) -> Iterator[Product]:
    """A product written by labels: the weight's are summed over (input), its own (output), or in all three (group)."""
    if {role(a), role(b)} != {"data", "parameters"}:
        return
    weight, labels, read, theirs = (a, one, b, other) if role(b) == "data" else (b, other, a, one)
    if "." in labels or len(labels) < 2 or len(set(labels)) != weight.ndim or weight.ndim != len(labels):
        return
    if any(label not in theirs and label not in output for label in labels):  # what acts is the weight's own sum
        return
    kinds = ["output" if label not in theirs else "group" if label in output else "input" for label in labels]
    summed = next((theirs.index(label) for label, kind in zip(labels, kinds, strict=True) if kind == "input"), None)
    if summed is None:  # entry by entry
        return
    channel = summed - len(theirs) if "." in theirs[:summed] else summed
    own = "".join(label for label, kind in zip(labels, kinds, strict=True) if kind == "output")
    in_place = output == theirs.replace(theirs[summed], own)  # else it is not known where the samples went
    yield replace(_plain(weight, _numbered(kinds), read, channel), written=in_place)


def _recurrent(args: Sequence[Any]) -> Iterator[Product]:
    place = max(n for n, value in enumerate(args) if isinstance(value, list | tuple))
    weights, (_, layers, _, _, both, *rest) = args[place], args[place + 1 : place + 7]
    every = len(weights) // (layers * (2 if both else 1))
    packed = isinstance(args[1], Tensor) and place == 3
    turned = not packed and args[0].ndim == 3 and not (rest and rest[0])
    for number, weight in enumerate(weights):
        if weight.ndim != 2:
            continue
        reads_input = number in ((0, every) if both else (0,))
        read = args[0] if reads_input else None
        modes = weight_modes(2)
        yield Product("recurrent", weight, modes, read, written=False, batch=args[0].shape[1] if turned else 0)
