"""A user's own code as what determines a result: a checksum of its source, taken without importing it."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from repro.importing import with_parents

_LIBRARIES = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")]


def source_digest(path: str) -> str | None:
    """Sixteen hexadecimal digits of the source behind an import path: its module and the user's own that it imports.

    Installed packages count by the module's own file alone: their versions stand in the record. None if there is no
    source to read, as for what was typed into an interpreter.
    """
    waiting = [path.partition(":")[0]]
    digests: dict[str, str] = {}
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        file = _file(module)
        if file is None or (digests and _is_library(file)):
            continue
        content = file.read_bytes()
        digests[module] = hashlib.sha256(content).hexdigest()
        if not _is_library(file):
            waiting += _imported(content, module, is_package=file.name == "__init__.py")
    if not digests:
        return None
    text = "\n".join(f"{module} {digest}" for module, digest in sorted(digests.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _file(module: str) -> Path | None:
    """The file of a module, found by looking: to find it as Python does would import its parents."""
    if module == "__main__":
        name = getattr(sys.modules["__main__"], "__file__", None)
        return Path(name) if name and Path(name).is_file() else None
    places: list[str] | None = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:count]), places)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or [])
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _is_library(file: Path) -> bool:
    return any(file.resolve().is_relative_to(folder) for folder in _LIBRARIES)


def _imported(content: bytes, module: str, *, is_package: bool) -> Iterator[str]:
    """Names that may be modules: all that are imported anywhere in a source, and their parents."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")[: len(module.split(".")) - node.level + is_package]
                base = ".".join([*above, *([base] if base else [])])
            if base:
                yield from with_parents(base)
                yield from (f"{base}.{alias.name}" for alias in node.names)
