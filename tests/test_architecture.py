"""The shape of the package: who may import whom, and how long a module may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "repro"
# A part may import only parts above it.
ORDER = [
    "text",
    "errors",
    "importing",
    "own_code",
    "machine",
    "config",
    "records",
    "spectra",
    "networks",
    "data",
    "measurements",
    "figures",
    "training",
    "theory",
    "studies",
    "cluster",
    "report",
    "commands",
    "cli",
    "__main__",
]
FREE_OF_TORCH = {
    "text",
    "errors",
    "importing",
    "own_code",
    "machine",
    "config",
    "records",
    "figures",
    "studies",
    "report",
    "commands",
    "cli",
}
FOR_ANYONE = {"spectra", "networks", "measurements", "theory"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part(module: Path) -> str:
    return module.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(module: Path, *, at_import: bool = False) -> Iterator[str]:
    """Names of imported modules; with `at_import` only those that importing the module imports."""
    nodes: list[ast.AST] = [ast.parse(module.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ([f"repro.{alias.name}" for alias in node.names] if node.module == "repro" else [node.module])
        checking = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not (at_import and (checking or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))):
            nodes += ast.iter_child_nodes(node)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_part_imports_only_parts_above_it(module: Path) -> None:
    if part(module) == "__init__":
        return
    above = ORDER[: ORDER.index(part(module)) + 1]
    for name in imports(module):
        if name.startswith("repro."):
            assert name.split(".")[1] in [*above, "__version__"], f"{module.name} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_parts_that_need_no_torch_or_lightning_do_not_import_it(module: Path) -> None:
    foreign = {name.split(".")[0] for name in imports(module, at_import=True)}
    if part(module) in FREE_OF_TORCH:
        assert not foreign & {"torch", "lightning", "wandb", "timm"}
    if part(module) in FOR_ANYONE:
        everything = {name.split(".")[0] for name in imports(module)}
        assert not everything & {"lightning", "wandb"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_are_short(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= 350
