"""Pictures of the page for the docs: as a screen, a phone, a dark screen and paper show it.

    repro report --all --out page && python benchmarks/screenshots.py page docs

Needs Chromium. Writes ``page.png`` (the overview) and ``screenshots/`` into the last folder. Paper is the page under
its rules for print, as wide as A4.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

POINT = """
const of = it => it.querySelector('svg[role]').textContent
const figure = [...document.querySelectorAll('figure')].find(it => of(it).includes('matrix'))
document.querySelector('main').replaceChildren(figure.previousElementSibling, figure)
const data = JSON.parse(figure.querySelector('script').textContent), svg = figure.querySelector('svg[role]')
const places = data.lists[data.panels[1].traces[1].at], it = 2 * 60
const box = svg.getBoundingClientRect(), scale = box.width / data.width
const at = {clientX: box.left + places[it] * scale, clientY: box.top + (places[it + 1] - svg.viewBox.baseVal.y) * scale}
svg.dispatchEvent(new PointerEvent('pointermove', at))
"""


@dataclass(frozen=True)
class Shot:
    """One picture."""

    name: str
    page: str
    size: tuple[int, int]
    dark: bool = False
    paper: bool = False
    script: str = ""


SHOTS = [
    Shot("page", "index.html", (1280, 1000)),
    Shot("screenshots/dark", "index.html", (1280, 1000), dark=True),
    Shot("screenshots/phone", "index.html", (400, 900)),
    Shot("screenshots/figure", "parts/demo.html", (1280, 760), script=POINT),
    Shot("screenshots/figure-phone", "parts/demo.html", (400, 900), script=POINT),
    Shot("screenshots/paper", "parts/demo.html", (794, 1123), paper=True),
]


def shoot(browser: str, shot: Shot, pages: Path) -> Image.Image:
    """The picture of a page."""
    page = pages / shot.page
    text = page.read_text(encoding="utf-8")
    if shot.paper:
        text = text.replace("@media screen and", "@media speech and").replace("@media print", "@media all")
    text = text.replace("</body>", f"<script>{shot.script}</script></body>")
    with tempfile.TemporaryDirectory() as folder:
        copy, out = Path(folder) / page.name, Path(folder) / "shot.png"
        copy.write_text(text, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=5000"]
        options += [
            f"--window-size={shot.size[0]},{shot.size[1]}",
            f"--blink-settings=preferredColorScheme={1 - shot.dark}",
        ]
        command = [browser, *options, f"--user-data-dir={folder}/profile", f"--screenshot={out}", copy.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        return Image.open(io.BytesIO(out.read_bytes())).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("Chromium is not installed")
    for shot in SHOTS:
        path = given.out / f"{shot.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = shoot(browser, shot, given.pages).quantize(256, dither=Image.Dither.NONE)  # small files
        picture.save(path, optimize=True)
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
