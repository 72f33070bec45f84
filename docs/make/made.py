"""The parts of pages that are made from the code, where a page has ``<!-- made: NAME -->``."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from repro.commands import COMMANDS, parser_of
from repro.commands.help import TOPICS
from repro.config import Config
from repro.config.fields import GROUPS, docs, field_type, keys, placeholder
from repro.measurements import MEASUREMENTS
from repro.studies import files, quantities
from repro.studies.study import Adjustment, Preset, Study
from repro.theory import STATEMENTS

ROOT = Path(__file__).parents[2]


def options() -> str:
    """Every key of a configuration, a table a group."""
    flat = {key: _default(key) for key in keys()}
    parts = [_group("Run", "", [key for key in flat if "." not in key])]
    for group in GROUPS:
        text = (field_type(group).__doc__ or "").strip()
        parts.append(_group(group, text, [key for key in flat if key.startswith(f"{group}.")]))
    return "\n\n".join(parts)


def _group(title: str, text: str, names: Sequence[str]) -> str:
    rows = []
    for key in names:
        holder, _, name = key.rpartition(".")
        said = docs(field_type(holder) if holder else Config)[name]
        rows.append([f"`{key}`", f"`{placeholder(field_type(key))}`", _default(key), said])
    return f"## {title}\n\n{text}\n\n" + _table(["key", "takes", "default", "what it is"], rows)


def _default(key: str) -> str:
    value: Any = Config()
    for part in key.split("."):
        value = getattr(value, part)
    return "" if value is None else f"`{json.dumps(value, default=list)}`"


def study_keys() -> str:
    """Every key of a study's file, of its presets and of its adjustments."""
    parts = []
    for title, kind in (("The study", Study), ("`presets: NAME:`", Preset), ("`adjust:`, a list of", Adjustment)):
        rows = [
            [f"`{entry.name}`", "required" if _required(entry) else "", docs(kind).get(entry.name, "")]
            for entry in dataclasses.fields(kind)
            if entry.name != "name"
        ]
        parts.append(f"### {title}\n\n" + _table(["key", "", "what it is"], rows))
    return "\n\n".join(parts)


def _required(entry: dataclasses.Field[Any]) -> bool:
    return entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING


def studies() -> str:
    """The studies that come with the package."""
    rows = []
    for name in files.names():
        study = files.load(name)
        rows.append([f"`{name}`", study.where, study.question, ", ".join(study.presets)])
    return _table(["study", "artefact", "question", "presets"], rows)


def commands() -> str:
    """The help of every command; of what `options` has, the group's names only."""
    return "\n\n".join(f"## repro {name}\n\n```text\n{_help(name)}\n```" for name in COMMANDS)


def _help(name: str) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        parser_of(name).read(["--help"])
    shown, *rest = text.getvalue().split("\nmodel:\n")
    return shown.rstrip() + ("\n\nand every key of a configuration as a flag: see Options" if rest else "")


def measurements() -> str:
    """Every measurement in a line."""
    return _table(
        ["measurement", "what it is"], [[f"[`{one.name}`](#{one.name})", one.says] for one in MEASUREMENTS.values()]
    )


def statements() -> str:
    """Every statement of the theory with its verdict on record."""
    rows = []
    for name, statement in STATEMENTS.items():
        record = ROOT / "results" / "theory" / "numbers" / f"{name}.json"
        verdict = json.loads(record.read_text(encoding="utf-8"))["verdict"] if record.exists() else "not run"
        rows.append([f"`{name}`", f"{statement.paper}, {statement.place}", statement.text, verdict])
    return _table(["name", "where", "the paper's words", "verdict (seed 0)"], rows)


def claimed() -> str:
    """What claims, papers' values and tables may speak of."""
    rows = [
        [f"`{name}[LAYER]`" if "{}" in said else f"`{name}`", said.format("LAYER")]
        for name, said in quantities.names().items()
    ]
    return _table(["quantity", "what it is"], rows)


def _topic(name: str) -> Callable[[], str]:
    return lambda: "```text\n" + "\n".join(TOPICS[name]()) + "\n```"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [[" ".join(str(cell).split()).replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


MADE: dict[str, Callable[[], str]] = {
    "options": options,
    "study-keys": study_keys,
    "studies": studies,
    "commands": commands,
    "measurements": measurements,
    "quantities": claimed,
    "statements": statements,
    **{f"topic-{name}": _topic(name) for name in TOPICS},
}
