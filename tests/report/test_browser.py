"""The page's own script, clicked through in a browser, from disk."""

from __future__ import annotations

import html
import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from repro.report import build

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")]


@pytest.fixture
def browse(tmp_path: Path):
    """Runs a script on a page and returns what it has put into `seen`; scripts may await."""

    def browse(page: Path, script: str) -> dict[str, Any]:
        wrapped = f"(async () => {{ const seen = {{}}; {script}; document.title = JSON.stringify(seen) }})()"
        copy = page.with_name(f"clicked-{page.name}")
        copy.write_text(page.read_text().replace("</body>", f"<script>{wrapped}</script></body>"))
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1800,1200"]
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        command = [str(BROWSER), *options, profile, "--virtual-time-budget=5000", "--dump-dom", copy.as_uri()]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
        title = re.search(r"<title>(.*?)</title>", shown)
        assert title is not None
        found: dict[str, Any] = json.loads(html.unescape(title[1]))
        return found

    return browse


TABLES = """
const column = name => [...document.querySelectorAll('th[data-column]')].find(it => it.textContent === name)
const first = () => [...column('network').closest('table').tBodies[0].rows].map(it => it.cells[0].textContent)
const click = head => head.querySelector('button').click()
seen.before = first()
click(column('network')); seen.up = first()
click(column('network')); seen.down = first()
seen.marked = column('network').ariaSort
const growth = document.querySelector('th[data-column="7"]')
click(growth); seen.growth = first(); seen.by = growth.textContent; seen.unmarked = column('network').ariaSort
const figure = document.querySelector('figure'), size = it => it.getBoundingClientRect().width
const before = size(figure.querySelector('svg[role]'))
figure.querySelector('.enlarge').click()
const dialog = document.querySelector('dialog')
seen.open = dialog.open; seen.larger = size(dialog.querySelector('svg[role]')) > before
dialog.querySelector('.close').click()
await new Promise(done => setTimeout(done, 100))
seen.closed = !document.querySelector('dialog'); seen.back = figure.parentElement.localName
location.hash = document.querySelector('tbody th a').hash
await new Promise(done => addEventListener('hashchange', () => setTimeout(done)))
seen.unfolded = document.querySelector(location.hash).open
"""


def test_tables_sort_figures_fill_the_window_and_links_open_their_run(run, manifest, tmp_path: Path, browse) -> None:
    run("a", network="resnet20", growth=30.0)
    run("b", network="plainnet110", growth=math.inf)
    run("c", network="plainnet20", growth=4.0)
    folder = manifest(("resnet20", 0, "a"), ("plainnet110", 0, "b"), ("plainnet20", 0, "c"))
    seen = browse(build([folder], tmp_path / "page"), TABLES)
    order = ["PlainNet-20", "PlainNet-110", "ResNet-20"]
    assert seen["before"] == ["ResNet-20", "PlainNet-110", "PlainNet-20"]
    assert (seen["up"], seen["down"]) == (order, order[::-1]), "20 comes before 110"
    assert (seen["marked"], seen["unmarked"]) == ("descending", None)
    assert (seen["by"], seen["growth"]) == (
        "first layer's σmax, end / start",
        ["PlainNet-20", "ResNet-20", "PlainNet-110"],
    )
    assert (seen["open"], seen["larger"], seen["closed"], seen["back"]) == (True, True, True, "section")
    assert seen["unfolded"] is True


ASKING = """
const figure = document.querySelector('figure')
const [svg, told, scroll] = ['svg[role]', '.told', '.scroll'].map(it => figure.querySelector(it))
const data = JSON.parse(figure.querySelector('script').textContent), box = svg.getBoundingClientRect()
const scale = box.width / data.width, above = svg.viewBox.baseVal.y
const point = (trace, index) => {
  const at = data.lists[data.panels[0].traces[trace].at]
  const given = {clientX: box.left + at[2 * index] * scale, clientY: box.top + (at[2 * index + 1] - above) * scale}
  svg.dispatchEvent(new PointerEvent('pointermove', given))
  return told.hidden ? '' : [...told.children].map(it => it.textContent)
}
seen.traces = data.panels[0].traces.map(it => [data.networks[it.network].name, it.when])
seen.second = point(1, 1)
seen.infinite = point(3, 0)
seen.ring = !!svg.querySelector('.ring')
const press = key => { scroll.dispatchEvent(new KeyboardEvent('keydown', {key})); return told.textContent }
seen.right = press('ArrowRight'); seen.end = press('End'); seen.up = press('ArrowUp')
press('Escape'); seen.gone = told.hidden
const drawn = number => [...svg.querySelectorAll(`[data-network="${number}"]`)].map(it => getComputedStyle(it).display)
seen.kinds = drawn(1).length
const boxes = figure.querySelectorAll('.networks input')
seen.names = [...figure.querySelectorAll('.networks label')].map(it => it.textContent)
seen.notes = [...figure.querySelectorAll('.networks > span')].map(it => it.textContent)
seen.above = above
boxes[1].click()
seen.off = drawn(1); seen.on = [...new Set(drawn(0))]; seen.nothing = point(3, 0)
boxes[1].click(); seen.again = [...new Set(drawn(1))]
const numbers = figure.querySelector('details.numbers')
seen.empty = !numbers.querySelector('table')
numbers.open = true
await new Promise(done => setTimeout(done, 100))
const table = numbers.querySelector('table')
seen.heads = [...table.querySelectorAll('th[scope="col"]')].map(it => it.textContent)
seen.rows = table.tBodies[0].rows.length
seen.last = [...table.tBodies[0].rows].at(-1).textContent
seen.scripts = document.querySelectorAll('script:not([type])').length; seen.evil = !!window.evil
"""


def test_a_figure_tells_what_one_points_at_and_shows_the_networks_that_are_chosen(
    run, manifest, tmp_path: Path, browse
) -> None:
    evil = "<img src=x onerror=window.evil=1></script><script>window.evil=1</script>"
    first = run("a", network="plainnet20", growth=5.0)
    readings = (first.path / "readings.jsonl").read_text()
    (first.path / "readings.jsonl").write_text(readings.replace('"condition_number": 20.0', '"condition_number": 24.0'))
    second = run("b", network="resnet20")
    lines = (
        (second.path / "readings.jsonl").read_text().replace('"condition_number": 10.0', '"condition_number": "inf"')
    )
    (second.path / "readings.jsonl").write_text(lines.replace('"name": "layer3"', f'"name": {json.dumps(evil)}'))
    folder = manifest(("plainnet20", 0, "a"), (evil, 0, "b"), figures=["weights"])
    seen = browse(build([folder], tmp_path / "page"), ASKING)
    assert seen["traces"] == [["PlainNet-20", when] for when in ("untrained", "trained")] + [
        [evil, when] for when in ("untrained", "trained")
    ]
    assert seen["second"] == [
        "PlainNet-20 (trained)",
        "weight layer 2",
        "name layer2",
        "condition number κ 24",
        "σmax 5",
        "σmin 0.25",
    ]
    assert seen["infinite"][0] == f"{evil} (trained)"
    assert seen["infinite"][3:5] == ["condition number κ ∞", "kind beyond float32"]
    assert seen["ring"] is True
    assert "weight layer 2" in seen["right"]
    assert "weight layer 3" in seen["end"]
    assert f"name {evil}" in seen["end"]
    assert seen["up"].startswith(f"{evil} (untrained)weight layer 3")
    assert seen["gone"] is True
    assert seen["names"] == ["PlainNet-20", evil]
    assert seen["notes"] == [
        "thin: untrained",
        "thick: trained",
        "light core: untrained as trained",
        "hollow: beyond float32 (κ > 8.4e6)",
    ]
    assert seen["above"] > 20, "the legend is left out of the drawing"
    assert seen["kinds"] > 3, "line, faint line, marks of what is infinite, trained and untrained"
    assert set(seen["off"]) == {"none"}
    assert "none" not in seen["on"] + seen["again"]
    assert seen["nothing"] == "", "what is not shown is not told"
    assert seen["empty"] is True
    assert seen["heads"] == ["network", "when", "weight layer", "name", "condition number κ", "σmax", "σmin", "kind"]
    assert seen["rows"] == 4 * 3
    assert seen["last"] == f"{evil}trained3{evil}3020.06667"
    assert (seen["scripts"], seen["evil"]) == (2, False), "the page's own and this one"


FILTER = """
const select = name => document.querySelector(`select[name="${name}"]`)
const cards = [...document.querySelectorAll('.card')]
const shown = () => cards.filter(it => it.checkVisibility()).map(it => it.querySelector('h2').textContent)
const choose = (name, value) => {
  select(name).value = value
  select(name).dispatchEvent(new Event('change', {bubbles: true}))
  return shown()
}
seen.all = shown()
seen.options = [...select('verdicts').options].map(it => it.value)
seen.nguyen = choose('paper', 'Nguyen'); seen.told = document.querySelector('output').textContent
choose('paper', ''); seen.fails = choose('verdicts', 'fails'); seen.mixed = choose('verdicts', 'mixed')
seen.drawings = document.querySelectorAll('.thumb svg').length
"""


def test_the_overview_shows_what_is_asked_for(run, manifest, tmp_path: Path, browse) -> None:
    for seed, accuracy in enumerate((0.95, 0.85)):
        run(f"s{seed}", seed=seed, final={"train_accuracy": 1.0, "test_accuracy": accuracy})
    run("a", folder="runs/other")
    cells = [("resnet20", seed, f"s{seed}") for seed in range(3)]
    manifest(*cells, title="First", claims=["resnet20.test_accuracy >= 90"])
    manifest(
        ("resnet20", 0, "a"),
        folder="runs/other",
        study="other",
        title="Second",
        paper="Nguyen",
        claims=["resnet20.test_accuracy >= 99", "resnet20.test_accuracy >= 90"],
    )
    page = build([tmp_path / "runs"], tmp_path / "page")
    seen = browse(page, FILTER)
    assert seen["all"] == ["First", "Second"]
    assert seen["options"] == ["", "holds", "mixed", "fails"]
    assert (seen["nguyen"], seen["told"]) == (["Second"], "1 of 2 shown")
    assert (seen["fails"], seen["mixed"]) == (["Second"], ["First"])
    assert seen["drawings"] == 2
    text = page.read_text()
    assert "2 of 3 seeds" in text
    assert page.stat().st_size < 60_000
