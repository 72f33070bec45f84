"""Signatures of the package are checked at every call: kinds by beartype, and shapes too where there are any.

jaxtyping would look for shapes in every call of every function: ten times the time of beartype alone.
"""

from __future__ import annotations

import functools
from dataclasses import is_dataclass
from types import FunctionType
from typing import Any, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype

with_shapes = jaxtyping.jaxtyped
with_kinds = beartype(conf=BeartypeConf(violation_type=TypeError))  # as jaxtyping's own, and as use without checks


def install() -> None:
    """Check what is imported of the package from now on."""
    jaxtyping.install_import_hook("repro", "beartype.beartype")
    jaxtyping.jaxtyped = _checked  # with which the hook decorates


def _checked(made: Any = None, *, typechecker: Any) -> Any:
    if made is None:
        return functools.partial(_checked, typechecker=typechecker)
    if isinstance(made, type):
        if is_dataclass(made) and not hasattr(made.__init__, "__wrapped__"):
            made.__init__ = _checked(made.__init__, typechecker=typechecker)
        return made
    hints = _hints(made)
    if "jaxtyping." in repr(hints):
        return with_shapes(made, typechecker=typechecker)
    plain = FunctionType(made.__code__, made.__globals__, made.__name__, made.__defaults__, made.__closure__)
    plain.__kwdefaults__, plain.__annotations__ = made.__kwdefaults__, hints
    plain.__module__, plain.__qualname__ = made.__module__, made.__qualname__
    return functools.update_wrapper(with_kinds(plain), made)


def _hints(made: FunctionType) -> dict[str, Any]:
    """The annotations, Any where one names what is not there yet or is imported for mypy alone."""
    hints: dict[str, Any] = {}
    for name, text in made.__annotations__.items():

        def one() -> None: ...

        one.__annotations__ = {name: text}
        try:
            hints |= get_type_hints(one, made.__globals__, include_extras=True)
        except Exception:
            hints[name] = Any
    return hints
