"""The page's own script, clicked through in a browser."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from repro.report import build

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

CLICKS = """
const column = name => [...document.querySelectorAll('th[data-column]')].find(it => it.textContent === name)
const first = () => [...column('network').closest('table').tBodies[0].rows].map(it => it.cells[0].textContent)
const seen = {before: first()}
column('network').click(); seen.up = first()
column('network').click(); seen.down = first()
seen.marked = column('network').ariaSort
const growth = document.querySelector('th[data-column="7"]')
growth.click(); seen.growth = first(); seen.by = growth.textContent; seen.unmarked = column('network').ariaSort
document.querySelector('figure svg').dispatchEvent(new MouseEvent('click'))
const dialog = document.querySelector('dialog')
const size = it => it.getBoundingClientRect().width
seen.open = dialog.open; seen.larger = size(dialog.querySelector('svg')) > size(document.querySelector('figure svg'))
dialog.click(); seen.closed = !dialog.open
location.hash = document.querySelector('tbody th a').hash
addEventListener('hashchange', () => {
  seen.unfolded = document.querySelector(location.hash).open
  document.title = JSON.stringify(seen)
})
"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")
def test_tables_sort_figures_fill_the_window_and_links_open_their_run(run, manifest, tmp_path: Path) -> None:
    run("a", network="resnet20", growth=30.0)
    run("b", network="plainnet110", growth=math.inf)
    run("c", network="plainnet20", growth=4.0)
    folder = manifest(("resnet20", 0, "a"), ("plainnet110", 0, "b"), ("plainnet20", 0, "c"))
    page = build([folder], tmp_path / "page")
    page.write_text(page.read_text().replace("</body>", f"<script>{CLICKS}</script></body>"))
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1800,1200",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    command = [str(BROWSER), *options, "--virtual-time-budget=5000", "--dump-dom", page.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    title = re.search(r"<title>(.*?)</title>", shown)
    assert title is not None
    seen = json.loads(title[1].replace("&quot;", '"'))
    order = ["PlainNet-20", "PlainNet-110", "ResNet-20"]
    assert seen["before"] == ["ResNet-20", "PlainNet-110", "PlainNet-20"]
    assert (seen["up"], seen["down"]) == (order, order[::-1]), "20 comes before 110"
    assert (seen["marked"], seen["unmarked"]) == ("descending", None)
    assert (seen["by"], seen["growth"]) == (
        "first layer's σmax, end / start",
        ["PlainNet-20", "ResNet-20", "PlainNet-110"],
    )
    assert (seen["open"], seen["larger"], seen["closed"]) == (True, True, True)
    assert seen["unfolded"] is True
