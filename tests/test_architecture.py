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
    "waiting",
    "importing",
    "own_code",
    "lightning_compat",
    "machine",
    "spectra",
    "networks",
    "config",
    "records",
    "distributed",
    "data",
    "measurements",
    "figures",
    "tracking",
    "watch",
    "training",
    "modules",
    "runs",
    "theory",
    "landscape",
    "studies",
    "cluster",
    "report",
    "api",
    "commands",
    "cli",
    "__main__",
]
FREE_OF_TORCH = {"text", "errors", "waiting", "importing", "own_code", "machine", "config", "records"}
FREE_OF_TORCH |= {"figures", "studies", "report", "commands", "cli"}
FOR_ANYONE = {"spectra", "networks", "measurements", "theory", "landscape"}
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


def depends(module: Path) -> set[str]:
    """Modules of ours that a module imports, at its import or later; for type checkers alone does not count."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    checking = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    unseen = {id(inner) for node in checking for inner in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) not in unseen and isinstance(node, ast.ImportFrom) and node.module:
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= within if within <= NAMES.keys() else within | {node.module}
        elif id(node) not in unseen and isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & NAMES.keys()


NAMES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES
}


def test_no_imports_go_in_a_circle() -> None:
    graph = {name: depends(path) - {name} for name, path in NAMES.items()}
    # What nobody in the rest imports, or imports nothing of the rest, is in no circle.
    while True:
        imported = set().union(*graph.values()) if graph else set()
        outer = {name for name, others in graph.items() if not others & graph.keys() or name not in imported}
        if not outer:
            break
        graph = {name: others - outer for name, others in graph.items() if name not in outer}
    assert not graph, f"in a circle, or between two: {sorted(graph)}"


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES}), ids=lambda path: path.name)
def test_no_folder_is_wide(folder: Path) -> None:
    modules = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= 16
