"""Objects by import path: how registries name what needs torch, and how users name their own code.

To import a module is to run its code. A name that you type, on the command line or in Python, is imported. A name in a
file (a study, a configuration, somebody else's run) is imported only if you trust it: with --trust NAME, with
trust=["NAME"] in Python, or with the environment variable REPRO_TRUST, which child processes inherit. NAME is a
package, a module or package.module:Name; several are separated by commas.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import itertools
import os
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from repro.errors import UserError, first_line

TRUST = "REPRO_TRUST"
"""Environment variable: trusted packages, modules and package.module:Name, separated by commas."""


def load(path: str) -> Any:
    """The object at ``package.module:Name``, imported now; for paths of ours, whose failure is a fault of ours."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def lazily(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's ``__getattr__``: imports what needs torch, by the module of each name, when it is first asked for."""

    def attribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    return attribute


def check_path(path: str, kind: str) -> None:
    """Say what is wrong with an import path that a user gave, without importing anything; `kind`: what it should be."""
    module, _, name = path.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), name]):
        raise UserError(f"'{path}' is not an import path; write package.module:Name")
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names and top != "__main__":
        raise UserError(f"{path} is of Python's own library, where there is no {kind}; name your own")
    # Only the top-level package: finding a submodule would import its parents, and torch with them.
    if top not in sys.modules and importlib.util.find_spec(top) is None:
        raise UserError(f"no module named '{top}' (for the {kind} {path}); install it or put it on PYTHONPATH")


def load_own(path: str, kind: str, *, of: str | tuple[str, ...]) -> Any:
    """The class or function at an import path that a user gave: looked at before anybody calls it.

    `of`: the import path of the class (or several, of which one is enough) that it has to be a subclass of, or be
    annotated to return. `UserError` as from `check_path`, for whatever the user's module raises, and where there is
    nothing of that name and kind.
    """
    check_path(path, kind)
    try:
        code = load(path)
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"cannot import the {kind} {path} ({reason}); write package.module:Name") from error
    bases = (of,) if isinstance(of, str) else of
    if not any(makes(code, load(base)) for base in bases):
        name = " or ".join(base.replace(":", ".") for base in bases)
        what = f"the class {code.__qualname__}" if isinstance(code, type) else f"a {type(code).__name__}"
        raise UserError(
            f"{path} is {what}; a {kind} is a subclass of {name}, or a function annotated to return one (-> {name})"
        )
    return code


def makes(code: Any, base: type) -> bool:
    """Whether to call it makes an instance of the class, as far as it says so."""
    if isinstance(code, type):
        return issubclass(code, base)
    if not inspect.isroutine(code):
        return False
    annotation: Any = getattr(code, "__annotations__", {}).get("return")
    if isinstance(annotation, str):
        text = annotation
        try:
            annotation = typing.get_type_hints(code).get("return")
        except (NameError, AttributeError, TypeError):  # of a name that is imported for type checkers alone
            return text.rpartition(".")[2] == base.__name__
    return isinstance(annotation, type) and issubclass(annotation, base)


@contextmanager
def trusting(names: Sequence[str]) -> Iterator[None]:
    """Code of these names (packages, modules, ``package.module:Name``) may be imported, even if a file names it.

    Here and in child processes.
    """
    if isinstance(names, str):
        raise UserError(f"trust is '{names}'; allowed: a list of names, such as ['{names}']")
    before = os.environ.get(TRUST)
    for name in names:
        if not all(part.isidentifier() for part in name.replace(":", ".", 1).split(".")):
            raise UserError(f"'{name}' cannot be trusted; allowed: a package, a module, or package.module:Name")
    os.environ[TRUST] = ",".join(dict.fromkeys([*trusted(), *names]))
    try:
        yield
    finally:
        os.environ.pop(TRUST)
        if before is not None:
            os.environ[TRUST] = before


def trusted() -> list[str]:
    """The names of code that is trusted now."""
    return [name for name in (part.strip() for part in os.environ.get(TRUST, "").split(",")) if name]


def trust_flags() -> list[str]:
    """What is trusted, as it is typed: for a command that another machine runs."""
    names = trusted()
    return ["--trust", ",".join(names)] if names else []


def require_trust(path: str, key: str, arguments: Mapping[str, Any] | None = None) -> None:
    """Refuse code that a configuration key of a file names and nobody trusts, saying what would be called, and how."""
    module, _, name = path.partition(":")
    if {path, *with_parents(module)} & set(trusted()):
        return
    written = ", ".join(f"{key}={value!r}" for key, value in (arguments or {}).items())
    raise UserError(
        f"{key} names code: {_where(module.partition('.')[0])} would be imported and {name}({written}) called; "
        f"if you know it and trust it, add --trust {path} (in Python: trust=['{path}']; for all commands: {TRUST})"
    )


def with_parents(module: str) -> list[str]:
    """``a``, ``a.b`` and ``a.b.c`` for ``a.b.c``."""
    return list(itertools.accumulate(module.split("."), "{}.{}".format))


def _where(top: str) -> str:
    """The file of a top-level module, found without importing it."""
    loaded: ModuleType | None = sys.modules.get(top)
    spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(top)
    return f"'{spec.origin}'" if spec is not None and spec.origin else f"the module '{top}'"
