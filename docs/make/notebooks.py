"""Run the notebooks and keep what they show: `make docs-redraw`. With ``--check``, as the tests do, keep nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook after all of its cells have run where it stands, in the Python that runs this.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}})
    return client.execute()


def without_the_machine(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without what differs between machines and runs: on stderr only our own lines are kept."""
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                lines = output.text.splitlines(keepends=True)
                output.text = "".join(line for line in lines if line.startswith("repro: "))
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("text", "some")]
    return notebook


if __name__ == "__main__":
    names = [name for name in sys.argv[1:] if name != "--check"]
    for path in [path for path in NOTEBOOKS if path.stem in names] or NOTEBOOKS:
        notebook = without_the_machine(executed(path))
        if "--check" not in sys.argv:
            nbformat.write(notebook, path)
        print(f"ran {path.name}")
