"""A forward pass in which every product with a weight is seen, with the name of what the weight is made of."""

from __future__ import annotations

import re
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from repro.networks.products import LINEAR, Product, products

_WRAPPERS = re.compile(r"(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.|$)")
_MADE_OF = re.compile(r"(\.parametrizations\.(\w+)\.original\d*$)|((?<=\w)_(orig|g|v)$)")
_DATA = frozenset({-1})
"""The sources of what the network computes from its inputs."""
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
    """One product of a weight in a forward pass, and where it was made."""

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


def clean(name: str) -> str:
    """A module's or parameter's name without the names of wrappers around modules."""
    return _WRAPPERS.sub("", name).lstrip(".")


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested lists, tuples, dicts and objects with attributes."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from tensors(item)
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        yield from tensors([getattr(value, name, None) for name in value.__dataclass_fields__])


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
        self._names: dict[int, list[str]] = {}
        self._sizes: dict[int, int] = {}
        if parameters is None:
            parameters = dict(network.named_parameters(remove_duplicate=False))
        for name, parameter in parameters.items():
            self._names.setdefault(id(parameter), []).append(clean(name))
            self._sizes[id(parameter)] = parameter.numel()
        self.touched: dict[int, set[str]] = {}
        """Operations that took a parameter, by its identity."""
        self.dynamic: dict[str, None] = {}
        """Names of modules with weights that are made of the data."""
        self.module_reads: dict[str, set[int]] = {}
        """What each module reads, as numbers of tensors, by its name."""
        self._made: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._numbers: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._counted = 0
        self._calls: Counter[str] = Counter()
        self._hooks: list[Any] = []
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
        return super().__enter__() if self._follow else self

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
        name = getattr(func, "__name__", "")
        if not self._follow:
            return self._multiply(func, name, args, kwargs)[0] if name in LINEAR else func(*args, **kwargs)
        operands = list(tensors((args, kwargs)))
        if not operands:
            return func(*args, **kwargs)
        used = "index" if name == "__getitem__" and len(operands) > 1 else name
        for tensor in operands:
            if id(tensor) in self._names and name != "__get__":
                self.touched.setdefault(id(tensor), set()).add(used)
        result, activation = self._multiply(func, name, args, kwargs)
        self._mark(operands, result, args, in_place=name.endswith("_") and name != "__get__", activation=activation)
        return result

    def _multiply(self, func: Any, name: str, args: Any, kwargs: Any) -> tuple[Any, bool]:
        """The operation's result, its products shown, and whether it is an activation whatever it was made of."""
        uses = [use for product in products(name, args, kwargs, self._role) if (use := self._use(product))]
        for use in uses:
            self._before(use)
        result = func(*args, **kwargs)
        if self._after is not None and isinstance(result, Tensor):
            for use in uses:
                if use.product.written:
                    self._after(use, result)
        return result, any(use.product.kind in _ACTIVATIONS for use in uses)

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

    def _mark(self, operands: list[Tensor], result: Any, args: Any, *, in_place: bool, activation: bool) -> None:
        origins = [sources for tensor in operands if (sources := self._sources(tensor))]
        if not origins:
            return
        of = _DATA if activation or any(origin is _DATA for origin in origins) else frozenset().union(*origins)
        changed = [args[0]] if in_place and args and isinstance(args[0], Tensor) else []
        for tensor in [*tensors(result), *changed]:
            if id(tensor) not in self._names:
                self._made[tensor] = of

    def _sources(self, tensor: Tensor) -> frozenset[int]:
        if id(tensor) in self._names:
            return frozenset({id(tensor)})
        sources: frozenset[int] = self._made.get(tensor, frozenset())
        return sources

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
        sources = self._sources(product.weight)
        if product.weight._base is not None and not sources:
            sources = self._sources(product.weight._base)
        module = self._stack[-1][0] if self._stack else None
        if module is None:
            return None
        inside = tuple(self._modules.get(outer, "") for outer, _ in self._stack)
        if sources is _DATA:
            self.dynamic[inside[-1]] = None
            return None
        name = self._name(sources) if sources else None
        if name is None or name.endswith("_flat_param"):  # FSDP's, of which the weights are parts
            name = self._by_attribute(module, inside[-1], product.weight) or name
        if name is None:  # made of no parameter, as a filter that blurs
            return None
        if not sources:
            sources = frozenset(
                number for number, names in self._names.items() if any(_plain(alias) == name for alias in names)
            )
        self._calls[name] += 1
        count = self._calls[name]
        if self._batch:
            product = replace(product, batch=self._batch)
        reads = set(self.module_reads.get(inside[-1], ()))
        if product.read is not None and self._follow:
            reads.add(self._number(product.read))
        return Use(name if count == 1 else f"{name}#{count}", module, inside, product, sources, frozenset(reads))

    def _name(self, sources: Iterable[int]) -> str:
        largest = max(sources, key=lambda number: self._sizes[number])
        names = self._names[largest]
        for module, _ in reversed(self._stack):
            prefix = self._modules.get(module)
            own = [name for name in names if prefix is not None and (not prefix or name.startswith(f"{prefix}."))]
            if own:
                return _plain(own[0])
        return _plain(names[0])

    def _by_attribute(self, module: nn.Module, name: str, weight: Tensor) -> str | None:
        """Name of a weight whose making was not seen: the module's attribute, or its parameter of that size."""
        for key, value in [*module._parameters.items(), *vars(module).items()]:
            if value is weight:
                return _plain(f"{name}.{key}" if name else key)
        for key, parameter in module.named_parameters():
            if parameter.shape == weight.shape:
                return _plain(clean(f"{name}.{key}" if name else key))
        return None


def _plain(name: str) -> str:
    """What is measured: the parameter that is made, not what it is made of; a module's weight by the module."""
    name = _MADE_OF.sub(lambda match: f".{match[2]}" if match[2] else "", name)
    return name.removesuffix(".weight")
