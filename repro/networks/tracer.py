"""A forward pass in which every product with a weight is seen, with the name of what the weight is made of."""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from repro.errors import UserError
from repro.networks.nested import plain, tensors
from repro.networks.products import LINEAR, Product, products, without_copies
from repro.networks.sites.parameters import Parameters, clean, held

_DATA = frozenset({-1})
"""The sources of what the network computes from its inputs."""
_SHAPED = {"to", "type_as", "view_as", "expand_as", "reshape_as"}
"""Operations whose result has the first operand's values and another's form."""
_ASSIGNING = {"__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__"}
_HARMLESS = {"requires_grad_", "detach_", "share_memory_", "resize_"}
_MOVING = {"index_select", "gather", "take", "take_along_dim", "masked_select", "topk", "sort", "roll", "flip"}
_ACTIVATIONS = {"linear", "convolution", "transposed", "recurrent"}

# Attention in one function hides its products from a mode; the same code that does not ask shows them.
_attention = types.FunctionType(
    F.multi_head_attention_forward.__code__,
    {**F.multi_head_attention_forward.__globals__, "has_torch_function": lambda _: False},
    argdefs=F.multi_head_attention_forward.__defaults__,
)
_attention.__kwdefaults__ = F.multi_head_attention_forward.__kwdefaults__


@dataclass(frozen=True)
class Use:
    """One product of a pass."""

    name: str
    """The module whose weight it is, or the parameter's name; from its second use in a pass on with ``#2``, ``#3``."""
    module: nn.Module
    """The module that multiplies."""
    inside: tuple[str, ...]
    """Names of the modules that are being called, the outermost first."""
    product: Product
    sources: frozenset[int]
    """Identities of the parameters that the weight is made of."""
    reads: frozenset[int]
    """Numbers, in this pass, of the tensors that the product and its module read."""


class Tracer(TorchFunctionMode):
    """Shows the products of the passes that are made within it, each announced by `start`.

    Args:
        network: What is passed through.
        before: Called with each product before it is computed.
        after: Called with each product and its result.
        parameters: What stands for its parameters in these passes, by name.
        only: The modules that multiply, where these are all and do so by linear maps and convolutions: what happens
            between them need not be followed.
    """

    def __init__(
        self,
        network: nn.Module,
        before: Callable[[Use], None],
        after: Callable[[Use, Tensor], None] | None = None,
        *,
        parameters: Mapping[str, Tensor] | None = None,
        only: Iterable[nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self._before, self._after = before, after
        multiplying = None if only is None else set(only)
        self._follow = multiplying is None
        self._modules = {
            module: clean(name)
            for name, module in network.named_modules()
            if multiplying is None or module in multiplying
        }
        self._parameters = Parameters(network, parameters)
        self.touched: dict[int, set[str]] = {}
        """Operations that took a parameter, by its identity."""
        self.dynamic: dict[str, None] = {}
        """Names of modules with weights that are made of the data."""
        self.foreign: dict[str, None] = {}
        """Names of weights that are no parameters and made of none: buffers, or those of modules that hold them."""
        self.moved = False
        """Whether parts of the data were picked or put in another order, so that samples may be, too."""
        self.module_reads: dict[str, set[int]] = {}
        """What each module reads, as numbers of tensors, by its name."""
        self._made: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._numbers: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._counted = 0
        self._calls: Counter[str] = Counter()
        self._hooks: list[Any] = []
        self._continued: WeakTensorKeyDictionary = WeakTensorKeyDictionary()  # images by what continues their borders
        self._stack: list[tuple[nn.Module, bool]] = []
        self._batch = 0  # of the attention that is being computed, which has the tokens first

    def start(self, inputs: Any) -> None:
        """Begin a pass over these inputs."""
        self._calls.clear()
        self._stack.clear()
        self.module_reads.clear()
        for tensor in tensors(inputs) if self._follow else ():
            self._made[tensor] = _DATA

    def __enter__(self) -> Any:
        for module in self._modules:
            self._hooks.append(module.register_forward_pre_hook(self._enter, with_kwargs=True, prepend=True))
            self._hooks.append(module.register_forward_hook(self._leave))
        if not self._follow:
            return self
        super().__enter__()
        if parametrize._cache_enabled:  # made before the pass: in a checkpoint they would be missing the second time
            for module in filter(parametrize.is_parametrized, self._modules):
                for name in module.parametrizations:
                    getattr(module, name)
        return self

    def __exit__(self, *reason: object) -> None:
        if self._follow or self._stack:  # a pass that failed inside of a module
            super().__exit__(*reason)
        while self._hooks:
            self._hooks.pop().remove()

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self._follow:
            if not self._stack:  # between the modules that multiply nothing is looked at
                super().__enter__()
            self._stack.append((module, False))
            return
        first = next(tensors((args, kwargs)), None)
        data = first is not None and self._sources(first) is _DATA
        self._stack.append((module, data))
        if first is not None:
            self.module_reads.setdefault(self._modules[module], set()).add(self._number(first))

    def _leave(self, module: nn.Module, _args: object, output: Any) -> None:
        while self._stack:
            last, data = self._stack.pop()
            if last is module:
                break
        else:
            return
        if not self._follow and not self._stack:
            super().__exit__(None, None, None)
        if data:  # also where something inside, as TorchScript, could not be followed
            for tensor in tensors(output):
                self._made[tensor] = _DATA

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            return self._attend(args, kwargs)
        name = getattr(func, "__name__", "").partition(".")[0]  # torch.ops.aten.mm.default
        if not self._follow:
            return self._multiply(func, name, args, kwargs)[0] if name in LINEAR else func(*args, **kwargs)
        given = list(tensors((args, kwargs)))
        if not given:
            return func(*args, **kwargs)
        if getattr(func, "__module__", "") == "torch._ops.quantized" and self._stack:
            self._note_foreign(self._stack[-1][0])
        used = "index" if name == "__getitem__" and len(given) > 1 else name
        self.moved |= (name in _MOVING or (name == "__getitem__" and _picks(args[1]))) and self._role(
            given[0]
        ) == "data"
        for tensor in given:
            if tensor in self._parameters and name != "__get__":
                self.touched.setdefault(id(tensor), set()).add(used)
        if func != Tensor.data.__set__ or not self._parameters.sharded:  # type: ignore[attr-defined]
            for target in _changed(func, name, args, kwargs):
                self._refuse_change(target)
        result, activation = self._multiply(func, name, args, kwargs)
        if name == "pad" and self._stack and getattr(self._stack[-1][0], "padding_mode", "zeros") != "zeros":
            self._continued[result] = given[0]  # what a convolution reads is the image, not what it makes of borders
        if name in _SHAPED or name.startswith("new_") or name.endswith("_like"):
            given = given[: name in _SHAPED]
        self._mark(given, result, args, in_place=name.endswith("_") and name != "__get__", activation=activation)
        return result

    def _multiply(self, func: Any, name: str, args: Any, kwargs: Any) -> tuple[Any, bool]:
        """The operation's result, its products shown, and whether it is an activation whatever it was made of."""
        uses = [use for each in products(name, args, kwargs, self._role) if (use := self._use(each))]
        for use in uses:
            self._before(use)
        result = func(*args, **kwargs)
        if self._after is not None and isinstance(result, Tensor) and plain(result):
            for use in uses:
                if use.product.written:
                    self._after(use, result)
        return result, any(use.product.kind in _ACTIVATIONS for use in uses)

    def _refuse_change(self, target: Tensor) -> None:
        """A network that overwrites its own parameters would be trained by being looked at."""
        if self._stack and isinstance(self._stack[-1][0], nn.Embedding | nn.EmbeddingBag):
            return  # with max_norm; `preserve_state` puts these back
        for number in self._sources(target):
            if self._parameters.lies(number, target):
                name = self._parameters.names[number][0]
                raise UserError(
                    f"the network overwrites its own parameter '{name}' in a pass, so that measuring would change it; "
                    "move that to the training loop, or do it in training mode and measure in eval"
                )

    def _attend(self, args: Any, kwargs: Any) -> Any:
        query = args[0] if args else kwargs["query"]
        self._batch = query.shape[1] if query.ndim == 3 else 0
        super().__enter__()
        try:
            result = _attention(*args, **kwargs)
        finally:
            super().__exit__(None, None, None)
            self._batch = 0
        self._mark(list(tensors((args, kwargs))), result, (), in_place=False, activation=True)
        return result

    def _mark(self, given: list[Tensor], result: Any, args: Any, *, in_place: bool, activation: bool) -> None:
        made = [sources for tensor in given if (sources := self._sources(tensor))]
        if not made:
            return
        of = _DATA if activation or any(each is _DATA for each in made) else frozenset().union(*made)
        changed = [args[0]] if in_place and args and isinstance(args[0], Tensor) else []
        for tensor in [*tensors(result), *changed]:
            if tensor not in self._parameters:
                self._made[tensor] = of
        for base in [each._base for each in changed if each._base is not None and each._base not in self._parameters]:
            own = self._sources(base)
            self._made[base] = _DATA if _DATA in (of, own) else of | own

    def _sources(self, tensor: Tensor) -> frozenset[int]:
        if tensor in self._parameters:
            return frozenset({id(tensor)})
        known: frozenset[int] = self._made.get(tensor, frozenset())
        return known

    def _role(self, tensor: Tensor) -> str:
        sources = self._sources(tensor)
        return "data" if sources is _DATA else "parameters" if sources else ""

    def _number(self, tensor: Tensor) -> int:
        if tensor not in self._numbers:
            self._counted += 1
            self._numbers[tensor] = self._counted
        number: int = self._numbers[tensor]
        return number

    def _use(self, product: Product) -> Use | None:
        module = self._stack[-1][0] if self._stack else None
        if module is None:
            return None
        if not plain(product.weight) or product.weight.is_complex() or _vmapped(product.weight):
            return None
        if product.read is not None and product.read in self._continued:
            product = replace(product, read=self._continued[product.read])
        if product.read is not None and (_vmapped(product.read) or not plain(product.read)):
            product = replace(product, read=None, written=False)
        sources = self._sources(product.weight)
        if product.weight._base is not None and not sources:
            sources = self._sources(product.weight._base)
        inside = tuple(self._modules.get(each, "") for each, _ in self._stack)
        if sources is _DATA:
            self.dynamic[inside[-1]] = None
            return None
        name = self._parameters.name(sources, reversed(inside)) if sources else None
        if name is None or name.endswith("_flat_param"):  # FSDP's, of which the weights are parts
            guess = not self._follow
            name = self._parameters.by_attribute(module, inside[-1], product.weight, guess=guess) or name
        if name is None:  # made of no parameter, as a filter that blurs
            self._note_foreign(module, product.weight)
            return None
        if not sources:
            sources = self._parameters.called(name)
        product = without_copies(product, self._parameters.numbers(sources))
        self._calls[name] += 1
        count = self._calls[name]
        if self._batch:
            product = replace(product, batch=self._batch)
        reads = set(self.module_reads.get(inside[-1], ()))
        if product.read is not None and self._follow:
            reads.add(self._number(product.read))
        return Use(name if count == 1 else f"{name}#{count}", module, inside, product, sources, frozenset(reads))

    def _note_foreign(self, module: nn.Module, weight: Tensor | None = None) -> None:
        """A weight is no parameter and made of none: a buffer, packed, or of a layer that nobody registered."""
        name = self._modules.get(module, "")
        own = [key for key, value in held(module) if value is weight and weight is not None]
        told = f"{name}.{own[0]}".lstrip(".") if own else f"weights in {name or 'the network itself'}"
        self.foreign[told] = None


def _picks(index: Any) -> bool:
    """Whether an index is more than numbers and slices."""
    parts = index if isinstance(index, tuple) else (index,)
    return not all(each is None or each is Ellipsis or isinstance(each, int | slice) for each in parts)


def _vmapped(tensor: Tensor) -> bool:
    """Whether it is one sample's part within `torch.vmap`, which must not leave that."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))


def _changed(func: Any, name: str, args: Any, kwargs: Any) -> Iterator[Tensor]:
    """The tensors whose numbers an operation overwrites."""
    overwrites = (name.endswith("_") and not name.startswith("__") and name not in _HARMLESS) or name in _ASSIGNING
    if args and (overwrites or func == Tensor.data.__set__):  # type: ignore[attr-defined]
        yield from tensors(args[0])
    if name in ("embedding", "embedding_bag"):  # the rows that are looked up are shortened to max_norm
        place = 3 if name == "embedding" else 4
        if kwargs.get("max_norm", args[place] if len(args) > place else None) is not None:
            yield kwargs["weight"] if "weight" in kwargs else args[1]
