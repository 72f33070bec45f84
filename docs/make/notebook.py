"""A notebook with its kept outputs as a page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any


def as_markdown(path: Path) -> str:
    """Text as it stands, code and what it printed as code, tables and pictures as they are."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = []
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        else:
            parts += [_fenced(source, "python"), *(_output(output) for output in cell["outputs"])]
    parts.append(f"*This page is the notebook `docs/notebooks/{path.name}`, which the tests run.*")
    return "\n\n".join(part for part in parts if part)


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img alt="figure" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    if "text/html" in data:
        table = re.sub(r"<style.*?</style>|(?<=<table)[^>]*", "", "".join(data["text/html"]), flags=re.DOTALL)
        return re.sub(r"\n\s*", "\n", table)
    return _fenced("".join(output.get("text", data.get("text/plain", ""))), "text")


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"
