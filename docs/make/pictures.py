"""Draw the pictures of the documents anew: `make docs-pictures`. The page's needs Chromium, and its records results/.

python docs/make/pictures.py [architecture] [demo] [page]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from repro.commands.report import parser
from repro.config import load
from repro.figures import RunRecords, draw_one, to_png
from repro.records import RunDirectory

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FLOWS = {
    "repro study run": (("study file", "studies/files"), ("cells, a process each", "studies/at_once"), None, None),
    "repro fit": (
        ("command line", "commands/fit, config/"),
        ("resolve and check", "runs/start"),
        ("build", "runs/build"),
        ("Lightning's Trainer", "training/classifier"),
    ),
    "measuring": (
        ("readings", "tracking/"),
        ("singular values", "spectra/"),
        ("measurements", "measurements/kinds"),
        ("callback's hook", "measure_callback"),
    ),
    "what is kept": (),
    "who reads it": (
        ("page, tables", "report/, figures/"),
        ("Weights &amp; Biases", "tracking/"),
        ("pandas", "records/tables"),
        ("resume, restore", "runs/session, api"),
    ),
}
"""Rows of boxes: what happens, and where in `repro`."""


def architecture() -> None:
    """Both flows: a run, and a study of many; what is measured on the way, and who reads what they leave."""
    parts = [
        "<style>text{font:14px sans-serif;fill:#1a1a1a}.code{font:11px monospace;fill:#5a6b7b}"
        ".flow{font-weight:bold}</style>"
    ]
    for row, (flow, boxes) in enumerate(FLOWS.items()):
        parts.append(f'<text class="flow" x="12" y="{_y(row) + 5}">{flow}</text>')
        parts += [_box(column, row, *text) for column, text in enumerate(boxes) if text]
    parts += [
        _arrow(_x(column) + 80, _y(row), _x(column + 1) - 84, _y(row))
        for row, column in ((0, 0), (1, 0), (1, 1), (1, 2))
    ]
    parts += [_arrow(_x(column) - 80, _y(2), _x(column - 1) + 84, _y(2)) for column in (3, 2, 1)]
    parts += [
        _arrow(_x(column), _y(row) + 24, _x(column), _y(row + 1) - 28)
        for column, row in ((1, 0), (3, 1), (0, 2), *((column, 3) for column in range(4)))
    ]
    middle = (_x(0) + _x(3)) / 2
    parts.append(
        f'<rect x="{_x(0) - 80}" y="{_y(3) - 24}" width="{_x(3) - _x(0) + 160}" height="48" rx="6" fill="#123f6d"/>'
        f'<text x="{middle}" y="{_y(3) + 5}" text-anchor="middle" style="fill:white">run directory: configuration, '
        "metrics, readings, spectra, state, checkpoints</text>"
    )
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 430"><rect width="900" height="430" fill="white"/>'
    (DOCS / "architecture.svg").write_text(head + "\n".join(parts) + "</svg>\n", encoding="utf-8")


def _x(column: int) -> int:
    return 225 + 195 * column


def _y(row: int) -> int:
    return 45 + 85 * row


def _box(column: int, row: int, title: str, where: str) -> str:
    x, y = _x(column), _y(row)
    return (
        f'<rect x="{x - 80}" y="{y - 24}" width="160" height="48" rx="6" fill="#eef3f7" stroke="#5a6b7b"/>'
        f'<text x="{x}" y="{y - 3}" text-anchor="middle">{title}</text>'
        f'<text class="code" x="{x}" y="{y + 14}" text-anchor="middle">{where}</text>'
    )


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """A horizontal or vertical arrow."""
    across = (x2 > x1) - (x2 < x1)
    tip = (
        f"{x2},{y2} {x2 - 9 * across},{y2 - 5} {x2 - 9 * across},{y2 + 5}"
        if across
        else f"{x2},{y2} {x2 - 5},{y2 - 9} {x2 + 5},{y2 - 9}"
    )
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#5a6b7b"/><polygon points="{tip}" fill="#5a6b7b"/>'


def demo() -> None:
    """κ of the demo's representations, of the records in results/demo."""
    runs = []
    for folder in sorted((ROOT / "results" / "demo").iterdir()):
        network = load(folder / "config.yaml").model.network
        label = {"plainnet110": "PlainNet-110", "resnet110": "ResNet-110", "resnext110": "ResNeXt-110"}[network]
        runs.append(RunRecords.read(RunDirectory.open(folder), label=label, classes=10))
    (DOCS / "demo.png").write_bytes(to_png(draw_one("representations", runs)))


def page() -> None:
    """The head of the page of everything, as a browser shows it."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("pictures: the page's needs Chromium; install it, or name the others: architecture demo")
    with tempfile.TemporaryDirectory() as folder:
        asked = parser("report").read(["--all", "--out", folder])
        asked.do(asked.request)
        shot = [
            "--headless",
            "--no-sandbox",
            "--hide-scrollbars",
            "--window-size=1280,1500",
            f"--screenshot={DOCS / 'page.png'}",
        ]
        subprocess.run([browser, *shot, (Path(folder) / "index.html").as_uri()], check=True, capture_output=True)


PICTURES: dict[str, Callable[[], None]] = {"architecture": architecture, "demo": demo, "page": page}

if __name__ == "__main__":
    for name in sys.argv[1:] or PICTURES:
        PICTURES[name]()
        print(f"drew {name}")
