"""Whatever a file holds, it is read or refused in one line: `make fuzz` tries for long, the suite for a moment.

`corpus/KIND/` has what failed once; it is tried first, always. `make fuzz` leaves the smallest content that it finds to
fail as ``corpus/KIND/found``: mend what it shows, give it a name, and commit it.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repro.config import load, parse, to_yaml
from repro.config.fields import keys
from repro.data.sources import idx
from repro.errors import UserError
from repro.measurements.quantities import names
from repro.records import RunDirectory, metrics, readings, spectra
from repro.records.lock import holder
from repro.records.surface import SurfaceRecord
from repro.report.sources import sections
from repro.studies import claims, files, study

pytestmark = pytest.mark.timeout(300)
CORPUS = Path(__file__).with_name("corpus")

WORDS = st.sampled_from(
    [
        "mlp",
        "resnet8",
        "MNIST5k",
        "null",
        "1",
        "-1",
        "inf",
        "nan",
        "1e400",
        "9" * 30,
        "a/b",
        "..",
        "\n",
        "\x1b[31m",
        "os:system",
    ]
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS


def nested(names: st.SearchStrategy[str], leaves: st.SearchStrategy[object] = PLAIN) -> st.SearchStrategy[object]:
    """Anything that JSON and YAML have, with keys that mean something to the reader."""
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
    )


def either(value: object) -> bytes:
    return yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass")


def as_json(value: object) -> bytes:
    return (json.dumps(value) + "\n").encode()


def mapping(names: list[str]) -> st.SearchStrategy[object]:
    some = st.sampled_from(names)
    return st.dictionaries(some, nested(some), max_size=4) | nested(some)


STUDY_KEYS = [
    *study.Study.__dataclass_fields__,
    *study.Preset.__dataclass_fields__,
    "cells",
    "cpu",
    "seed",
    "model.network",
]
WHOLE_STUDY = {
    **dict.fromkeys(("title", "question", "paper", "artefact", "expected"), "x"),
    "base": {"model.network": "mlp"},
    "grid": {"training.learning_rate": [0.1, 0.01]},
    "presets": {"cpu": {}},
}
RECORD = [
    "step",
    "epoch",
    "metrics",
    "measurement",
    "layer",
    "name",
    "mode",
    "singular_values",
    "values",
    "status",
    "seconds",
    "final",
    "host",
]
RECORD += [
    "pid",
    "token",
    "boot",
    "versions",
    "started",
    "points",
    "radius",
    "directions",
    "samples",
    "cells",
    "run",
    "loss",
]
GROUPS = [*keys(), "model", "data", "training", "trainer", "measure", "log", "arguments", "network"]
CLAIM = st.lists(
    st.sampled_from(["a", "b", ".", " ", "<", ">", "<=", ">=", "1", "nan", "±", *names()]) | st.text(max_size=3),
    max_size=8,
)
IDX = st.builds(
    lambda kind, sizes, content: (
        bytes([0, 0, kind, len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes) + content
    ),
    st.sampled_from([8, 9, 13]),
    st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 3), max_size=5),
    st.binary(max_size=30),
)

CONTENTS: dict[str, st.SearchStrategy[bytes]] = {
    "configuration": mapping(GROUPS).map(either) | st.binary(max_size=60),
    "flags": st.lists(st.sampled_from([f"--{key}" for key in keys()]) | WORDS | st.text(max_size=6), max_size=5).map(
        as_json
    ),
    "study": st.dictionaries(st.sampled_from(STUDY_KEYS), nested(st.sampled_from(STUDY_KEYS)), max_size=3).map(
        lambda changed: either({**WHOLE_STUDY, **changed})
    ),
    "claim": CLAIM.map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass")) | st.binary(max_size=30),
    **dict.fromkeys(
        (
            "state.json",
            "environment.json",
            "metrics.jsonl",
            "readings.jsonl",
            "spectra.jsonl",
            "lock",
            "surface.json",
            "values-1of1.jsonl",
            "manifest.json",
        ),
        mapping(RECORD).map(as_json) | st.binary(max_size=60),
    ),
    "readings.jsonl.gz": st.binary(max_size=60).map(lambda content: gzip.compress(content)[: len(content)]),
    "idx": IDX | st.binary(max_size=60),
}


def _study(path: Path) -> None:
    files.load(str(path)).cells()


def _claim(path: Path) -> None:
    claims.check(path.read_text(encoding="utf-8", errors="replace"), ["a", "b"])


def _flags(path: Path) -> None:
    parse([word for word in json.loads(path.read_text()) if not word.startswith(("-h", "--help"))])


def _configuration(path: Path) -> None:
    config = load(path)
    path.write_text(to_yaml(config), encoding="utf-8")
    assert load(path) == config  # a run's own configuration can be read again


def _run(path: Path) -> None:
    """Every reader of a run for itself: what one refuses, another may read."""
    run, surface = RunDirectory(path.parent), SurfaceRecord(path.parent)
    run.config_path.write_text("seed: 0")
    for read in (
        *(
            lambda: run.state,
            lambda: run.status,
            lambda: run.lives,
            lambda: run.damage,
            run.last_step,
            lambda: metrics(run),
        ),
        *(
            lambda: readings(run),
            lambda: spectra(run),
            lambda: holder(path.parent / "lock"),
            surface.missing,
            lambda: surface.read("a"),
        ),
        lambda: sections([path.parent]),
    ):
        _refused_or_not(read)


def _refused_or_not(read: Callable[[], object]) -> None:
    try:
        read()
    except UserError as error:
        if "\n" in str(error):
            raise AssertionError(str(error)) from error


READERS: dict[str, Callable[[Path], object]] = {
    "configuration": _configuration,
    "flags": _flags,
    "study": _study,
    "claim": _claim,
    "idx": lambda path: idx.parse(path.read_bytes(), path.name),
}


def attempt(kind: str, content: bytes) -> None:
    """Read a content of a kind."""
    name = f"{kind}.yaml" if kind in ("configuration", "study") else kind
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            _refused_or_not(lambda: READERS.get(kind, _run)(path))
        except Exception:
            if "FUZZ" in os.environ:
                (CORPUS / kind).mkdir(parents=True, exist_ok=True)
                (CORPUS / kind / "found").write_bytes(content)
            raise


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_failed_once(path: Path) -> None:
    attempt(path.parent.name, path.read_bytes())


@pytest.mark.parametrize("kind", CONTENTS)
@settings(max_examples=int(os.environ.get("FUZZ", "12")), suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_anything_is_read_or_refused_in_a_line(kind: str, data: st.DataObject) -> None:
    attempt(kind, data.draw(CONTENTS[kind]))
