"""The hostile and careless inputs of `benchmarks/breaks.py`: each a kind, a name, a command, and what it meets."""

from __future__ import annotations

import builtins
import ctypes
import errno
import fcntl
import gzip
import io
import json
import os
import resource
import shutil
import signal
import struct
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

World = Path


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """One input."""

    kind: str
    name: str
    arguments: Sequence[object]
    setup: Callable[[World], object] = _nothing
    """Changes the world before the command."""
    before: Callable[[], object] = _nothing
    """Called in the command's process: limits, faults."""
    environment: Mapping[str, str] = field(default_factory=dict)
    says: str = ""
    """What has to be said, as a regular expression; else the outcome is "silent"."""
    wanted: Sequence[str] = ()
    """Outcomes that are right; empty: refused, handled and stopped are."""
    check: Callable[[World], str | None] | None = None
    """What is wrong with the world afterwards."""
    own_traceback: bool = False
    """The user's own code raises: its traceback is what helps."""
    kill_after: float = 0.0
    """Seconds until SIGTERM."""


REFUSED, HANDLED = ("refused",), ("handled",)
FIT = [
    *("fit", "--model.network", "mlp", "--model.hidden", "[8]", "--data.train_size", "500", "--data.test_size", "100"),
    *("--trainer.max_epochs", "1", "--trainer.progress", "none", "--trainer.accelerator", "cpu"),
    *("--measure.measurements", "[]", "--trainer.checkpoint_every_n_steps", "2"),
]
FOLDER = [
    *("fit", "--model.network", "resnet8", "--model.width", "4", "--data.name", "ImageFolder", "--data.root", "images"),
    *("--data.image_size", "16", "--data.batch_size", "4", "--trainer.max_epochs", "1", "--trainer.progress", "none"),
    *("--measure.measurements", "[]", "--trainer.accelerator", "cpu"),
]
RUN, HALF, STUDY = "runs/single/RUN", "runs/single/HALF", "runs/small"

STUDY_FILE: dict[str, Any] = {
    "title": "T",
    "question": "Q",
    "paper": "Nguyen",
    "artefact": "Table 1",
    "expected": "E",
    "base": {"model.network": "mlp", "model.hidden": [8], "data.train_size": 200, "data.test_size": 100,
             "trainer.max_epochs": 1, "measure.measurements": [], "trainer.accelerator": "cpu"},
    "grid": {"training.learning_rate": [0.1, 0.01]},
    "presets": {"cpu": {"seeds": [0]}},
    "claims": ["0.1.test_accuracy >= 0 | Table 1 | it has no number"],
}  # fmt: skip


def build(world: World, run: Callable[[Sequence[str]], Any]) -> None:
    """The world that every command finds: a finished run, an unfinished one, a study, images."""
    for name, more in (("RUN", []), ("HALF", ["--seed", "1"])):
        assert (life := run([*FIT, *more])).status == 0, life.err
        (made,) = [path for path in (world / "runs/single").iterdir() if path.name not in ("RUN", "HALF")]
        if name == "HALF":
            state = json.loads((made / "state.json").read_text())
            (made / "state.json").write_text(json.dumps({**state, "status": "interrupted", "step": 2, "epoch": 0}))
            sorted((made / "checkpoints").glob("step-*"))[-1].unlink()
        (world / f"{name}.name").write_text(made.name)
        made.rename(made.with_name(name))
    for name in ("RUN", "HALF"):
        (world / f"runs/single/{name}").rename(world / "runs/single" / (world / f"{name}.name").read_text())
        (world / f"runs/single/{name}").symlink_to((world / f"{name}.name").read_text())
    (world / "small.yaml").write_text(yaml.safe_dump(STUDY_FILE))
    assert (life := run(["study", "run", "small.yaml", "--jobs", "1"])).status == 0, life.err
    draw = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 2)):
        for label in ("a", "b"):
            (world / "images" / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 256, (20, 24, 3), np.uint8)
                Image.fromarray(pixels).save(world / f"images/{part}/{label}/{number}.png")


def _write(name: str, content: str | bytes) -> Callable[[World], object]:
    def write(world: World) -> None:
        path = world / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))

    return write


def _folder(name: str) -> Callable[[World], object]:
    def make(world: World) -> None:
        (world / name).unlink(missing_ok=True)
        (world / name).mkdir(parents=True)

    return make


def _all(*each: Callable[[World], object]) -> Callable[[World], object]:
    return lambda world: [one(world) for one in each]


# Kinds


def nulls() -> Iterator[Case]:
    """Empty where a value is expected."""
    yield Case("a number where a choice is due", "precision: 32", [*FIT, "--config", "c.yaml"], _write("c.yaml", "trainer: {precision: 32}"), wanted=HANDLED)
    for key in (
        *("runs", "study", "seed", "name", "data.root", "data.name", "data.batch_size", "data.split", "data.seed"),
        *("trainer.accelerator", "trainer.precision", "trainer.max_epochs", "trainer.devices", "trainer.compile"),
        *("training.loss", "training.milestones", "training.learning_rate", "model.network", "model.activation"),
        *("model.gamma", "model.hidden", "log.every_n_steps", "measure.layers", "measure.every_n_steps"),
        *("measure.measurements", "model", "data", "trainer", "log"),
    ):
        yield Case("null for a key", key, [*FIT, "--config", "c.yaml"], _write("c.yaml", f"{key}: null\n"))
    for flag in ("--runs", "--data.root", "--seed", "--training.loss", "--trainer.precision"):
        yield Case("null as a flag", flag, [*FIT, flag, "null"])
    for key in ("title", "grid", "presets", "base", "claims", "figures", "paper_values", "question"):
        yield Case(
            "null in a study file", key, ["study", "plan", "s.yaml"], _write("s.yaml", yaml.safe_dump(STUDY_FILE | {key: None}))
        )
    for name, preset in (("seed", {"seeds": [None]}), ("seeds", {"seeds": None}), ("settings", {"settings": None})):
        changed = STUDY_FILE | {"presets": {"cpu": preset}}
        yield Case("null in a study file", name, ["study", "plan", "s.yaml"], _write("s.yaml", yaml.safe_dump(changed)))


def yamls() -> Iterator[Case]:
    """Files that are no configuration."""
    bomb = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" if n else "a0: &a0 [x]\n" for n in range(12))
    for name, content in {
        "empty": "",
        "a number": "3",
        "a list": "[1, 2]",
        "UTF-16": "seed: 1".encode("utf-16"),
        "NUL bytes": b"seed: 1\0",
        "Latin-1": "name: é".encode("latin-1"),
        "a byte order mark": b"\xef\xbb\xbfseed: 1",
        "nested 10,000 deep": "a: " + "[" * 10_000,
        "nested mappings 5,000 deep": "{a: " * 5_000,
        "an alias bomb": bomb,
        "an alias bomb in arguments": f"model:\n  arguments:\n{''.join('    ' + line for line in bomb.splitlines(True))}",
        "a ring": "model: &m\n  arguments: {d: *m}\n",
        "a set": "model: {arguments: !!set {a, b}}",
        "a Python object": "seed: !!python/object/apply:os.system ['touch PWNED']",
        "a key twice": "seed: 1\nseed: 2",
        "two documents": "seed: 1\n---\nseed: 2",
        "a tab": "model:\n\tnetwork: mlp",
        "1e400": "training: {learning_rate: 1e400}",
        "a number of 5,000 digits": f"seed: {'9' * 5000}",
        "a float of many digits": f"training: {{learning_rate: 0.{'1' * 5000}}}",
    }.items():
        yield Case("YAML", name, [*FIT, "--config", "c.yaml"], _write("c.yaml", content), check=_not_run)
    for path in ("/dev/zero", "/dev/null", "images", "missing.yaml", "c" * 300 + ".yaml", "/dev/urandom"):
        yield Case("a configuration that is no file", path[:20], [*FIT, "--config", path])
    yield Case("a configuration that is no file", "a pipe", [*FIT, "--config", "pipe"], lambda world: os.mkfifo(world / "pipe"))
    yield Case("a configuration that is no file", "100 MB", [*FIT, "--config", "c.yaml"], _write("c.yaml", "# " + "x" * 10**8))


def _not_run(world: World) -> str | None:
    return "a stranger's code ran" if (world / "PWNED").exists() else None


def flags() -> Iterator[Case]:
    """Values on the command line."""
    for flag, value in (
        *(("--model.arguments", text) for text in ("{d: 1, d: 2}", "[1]", "{", "{a: !!set {b}}", "{a: &a [*a]}")),
        *(("--seed", text) for text in ("-1", "1.5", "99999999999999999999", "x", "", "1e3")),
        *(("--training.learning_rate", text) for text in ("nan", "inf", "-1", "0", "1e999", "0x1")),
        *(("--data.batch_size", text) for text in ("0", "10000", "-3", "half", "9" * 30)),
        *(("--name", text) for text in ("../x", "a/b", "", "-x", "x" * 300, "a\nb", "\udcff", ".", "con")),
        *(("--runs", text) for text in ("/proc/x", "/dev/null", "small.yaml", "a\nb", "")),
        *(("--trainer.devices", text) for text in ("40", "0", "-1", "99999999999999999999", "x")),
        *(("--measure.layers", text) for text in ("[0]", "[99999999999999999999]", "[]", "x")),
        *(("--measure.at_steps", text) for text in ("[-1]", "[99999999999999999999]", "x")),
        *(("--trainer.accelerator", text) for text in ("gpu", "tpu", "GPU")),
        *(("--budget", text) for text in ("nan", "inf", "-1", "0", "1e400", "x")),
    ):
        yield Case(f"a value for {flag}", repr(value[:20]), [*FIT, "--seed", "9", flag, value])


def sizes() -> Iterator[Case]:
    """What no machine holds: refused before anything is allocated."""
    small = ["fit", "--data.train_size", "500", "--trainer.max_epochs", "1", "--measure.measurements", "[]"]
    for name, more in {
        "width 10^6": ["--model.network", "resnet8", "--model.width", "1000000"],
        "width 10^12": ["--model.network", "resnet8", "--model.width", "1000000000000"],
        "width over 64 bits": ["--model.network", "resnet8", "--model.width", "9" * 25],
        "hidden 10^7 x 10^6": ["--model.network", "mlp", "--model.hidden", "[10000000,1000000]"],
        "hidden of 160 GB": ["--model.network", "mlp", "--model.hidden", "[200000,200000]"],
        "hidden over 64 bits": ["--model.network", "mlp", "--model.hidden", f"[{'9' * 25}]"],
        "neurons 10^12": ["--model.network", "resnet8", "--model.skip_neurons", "1000000000000"],
        "neurons over 64 bits": ["--model.network", "resnet8", "--model.skip_neurons", "9" * 25],
        "depth 10^6": ["--model.network", "resnet1000002"],
        "depth of 30 digits": ["--model.network", f"fc{'9' * 30}"],
        "groups 10^9": ["--model.network", "resnext11", "--model.groups", "1000000000"],
        "probe 10^9": ["--model.network", "resnet8", "--measure.measurements", "[weights]", "--measure.probe_size", "1000000000"],
        "image size 10^6": ["--model.network", "resnet8", "--data.name", "ImageFolder", "--data.root", "images", "--data.batch_size", "4", "--data.image_size", "1000000"],
    }.items():
        yield Case("absurd sizes", name, [*small, *more], wanted=REFUSED)
    many = STUDY_FILE | {"grid": {"seed": list(range(10**5))}}
    yield Case("absurd grids", "10^5 values", ["study", "plan", "s.yaml"], _write("s.yaml", yaml.safe_dump(many)))
    seeds = STUDY_FILE | {"presets": {"cpu": {"seeds": list(range(10**5))}}}
    yield Case("absurd grids", "10^5 seeds", ["study", "plan", "s.yaml"], _write("s.yaml", yaml.safe_dump(seeds)))
    axes = STUDY_FILE | {"grid": {f"training.{key}": [n / 100 for n in range(1, 90)] for key in ("learning_rate", "momentum", "factor", "warmup_learning_rate")}}
    yield Case("absurd grids", "89^4 cells", ["study", "plan", "s.yaml"], _write("s.yaml", yaml.safe_dump(axes)))


def studies() -> Iterator[Case]:
    """Study files of another form."""
    for name, content in {
        "base a list": STUDY_FILE | {"base": [1]},
        "base a number": STUDY_FILE | {"base": 3},
        "base a missing file": STUDY_FILE | {"base": "missing.yaml"},
        "base outside": STUDY_FILE | {"base": "../../../../etc/passwd"},
        "a variant that is text": STUDY_FILE | {"grid": {"x": {"a": "text"}}},
        "a grid that is text": STUDY_FILE | {"grid": "x"},
        "a grid of lists": STUDY_FILE | {"grid": {"training.learning_rate": [[1], [2]]}},
        "runs of itself": {"runs_of": "s.yaml", "title": "T", "question": "Q", "artefact": "A", "expected": "E"},
        "a repeated seed": STUDY_FILE | {"presets": {"cpu": {"seeds": [0, 0]}}},
        "a seed that is text": STUDY_FILE | {"presets": {"cpu": {"seeds": ["x"]}}},
        "a seed that is a list": STUDY_FILE | {"presets": {"cpu": {"seeds": [[1]]}}},
        "presets a list": STUDY_FILE | {"presets": ["cpu"]},
        "a preset that is text": STUDY_FILE | {"presets": {"cpu": "x"}},
        "a preset named by a number": STUDY_FILE | {"presets": {3: {}}},
        "adjust a text": STUDY_FILE | {"adjust": "x"},
        "adjust a list of texts": STUDY_FILE | {"adjust": ["x"]},
        "a name of control characters": STUDY_FILE | {"name": "a\nb"},
        "a name that is a number": STUDY_FILE | {"name": 3},
        "an unknown figure": STUDY_FILE | {"figures": ["x"]},
        "a title that is a list": STUDY_FILE | {"title": [1]},
        "runs_of a number": STUDY_FILE | {"runs_of": 3},
        "paper_values a list": STUDY_FILE | {"paper_values": [1]},
        "paper_values of lists": STUDY_FILE | {"paper_values": {"0.1": [1]}},
        "a paper value of text": STUDY_FILE | {"paper_values": {"0.1": {"test_accuracy": "much"}}},
        "paper_runs 0": STUDY_FILE | {"paper_runs": 0},
        "a seed key that does not exist": STUDY_FILE | {"seed_key": "x"},
    }.items():  # fmt: skip
        yield Case("a study file of another form", name, ["study", "plan", "s.yaml"], _write("s.yaml", yaml.safe_dump(content)))
    ring = {"title": "T", "question": "Q", "artefact": "A", "expected": "E"}
    yield Case(
        "a study file of another form",
        "a ring of two",
        ["study", "plan", "s.yaml"],
        _all(
            _write("s.yaml", yaml.safe_dump(ring | {"runs_of": "t.yaml"})),
            _write("t.yaml", yaml.safe_dump(ring | {"runs_of": "s.yaml"})),
        ),
        wanted=REFUSED,
    )
    yield Case("a study file of another form", "nested 10,000 deep", ["study", "plan", "s.yaml"], _write("s.yaml", "a: " + "[" * 10_000))
    for claim in ("", "x", "0.1.test_accuracy", "0.1.test_accuracy == 3", "a.b > c.d", "0.1.nothing > 1", "nan > nan", "0.1.test_accuracy > " + "9" * 400, 3):
        changed = STUDY_FILE | {"claims": [claim]}
        yield Case("a claim", repr(claim)[:30], ["study", "plan", "s.yaml"], _write("s.yaml", yaml.safe_dump(changed)))
    for name in ("my study.yaml", "étude (lr=0.1).yaml", "a&b;c.yaml"):
        yield Case("names of study files", name, ["study", "run", name, "--jobs", "1"], _write(name, yaml.safe_dump(STUDY_FILE)))


def _checkpoint(change: Callable[[dict[str, Any]], object]) -> Callable[[World], object]:
    def apply(world: World, run: str = HALF) -> None:
        path = sorted((world / run / "checkpoints").glob("step-*.ckpt"))[-1]
        content = torch.load(path, weights_only=True)
        made = change(content)
        torch.save(content if made is None else made, path)

    return apply


class Evil:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch PWNED",))


def checkpoints() -> Iterator[Case]:
    """Checkpoints that are not ours, or damaged inside."""

    def raw(content: bytes) -> Callable[[World], object]:
        def write(world: World) -> None:
            sorted((world / HALF / "checkpoints").glob("step-*.ckpt"))[-1].write_bytes(content)

        return write

    def zipped() -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("a.txt", "x")
        return buffer.getvalue()

    def shapes(content: dict[str, Any]) -> None:
        content["state_dict"] = {key: value[:1] if value.ndim else value for key, value in content["state_dict"].items()}

    changes: dict[str, Callable[[World], object]] = {
        "empty": raw(b""),
        "text": raw(b"hello"),
        "a zip that is no checkpoint": raw(zipped()),
        "no state_dict": _checkpoint(lambda content: content.pop("state_dict") and None),
        "a list": _checkpoint(lambda _content: [1, 2]),
        "a state_dict that is a list": _checkpoint(lambda content: content.update(state_dict=[1])),
        "other shapes": _checkpoint(shapes),
        "extra keys": _checkpoint(lambda content: content["state_dict"].update(extra=torch.zeros(1))),
        "no optimiser state": _checkpoint(lambda content: content.pop("optimizer_states") and None),
        "optimiser state a number": _checkpoint(lambda content: content.update(optimizer_states=3)),
        "generators too short": _checkpoint(lambda content: content["generators"][0].update(torch=torch.zeros(3, dtype=torch.uint8))),
        "generators missing": _checkpoint(lambda content: content.pop("generators") and None),
        "generators a text": _checkpoint(lambda content: content.update(generators="x")),
        "signature not JSON": _checkpoint(lambda content: content.update(signature="{")),
        "signature a list": _checkpoint(lambda content: content.update(signature="[1]")),
        "no step": _checkpoint(lambda content: content.pop("global_step") and None),
        "a step that is text": _checkpoint(lambda content: content.update(global_step="x")),
        "no loops": _checkpoint(lambda content: content.pop("loops") and None),
        "an old version": _checkpoint(lambda content: content.pop("pytorch-lightning_version") and None),
        "code in it": _checkpoint(lambda content: content.update(evil=Evil())),
    }  # fmt: skip
    for name, change in changes.items():
        yield Case("a checkpoint, going on", name, [*FIT, "--seed", "1"], change, check=_not_run)
    for name in ("text", "no state_dict", "a list", "other shapes", "no optimiser state", "code in it", "no step"):
        yield Case("a checkpoint, tested", name, ["test", HALF], changes[name], check=_not_run)
        yield Case("a checkpoint, measured", name, ["measure", HALF, "--probe-size", "16"], changes[name], check=_not_run)

    def kept(world: World) -> str | None:
        return "a checkpoint was set aside" if list((world / HALF / "checkpoints").glob("*.damaged")) else None

    yield Case(
        "a checkpoint that cannot be read for a moment",
        "permission denied",
        [*FIT, "--seed", "1"],
        lambda world: [path.chmod(0) for path in (world / HALF / "checkpoints").glob("step-*")],
        before=_ordinary,
        wanted=REFUSED,
        check=kept,
    )
    yield Case(
        "a checkpoint that cannot be read for a moment",
        "input/output error",
        [*FIT, "--seed", "1"],
        before=partial(_fault_open, "step-", errno.EIO),
        wanted=REFUSED,
        check=kept,
    )


def records() -> Iterator[Case]:
    """Records with a line or file of another form: one bad run must not hide the others."""
    deep = "[" * 10_000 + "]" * 10_000
    metrics = '{"step": 1, "epoch": 0, "metrics": {"train/cross_entropy": 1}}\n'
    for file, contents in {
        "environment.json": {"empty": "", "a dict of strings": '{"a": "b"}', "a list of numbers": "[1, 2]", "cut": '[{"host"', "nested": deep},
        "state.json": {"empty": "", "a list": "[1]", "text": '"x"', "seconds text": '{"status": "finished", "seconds": "x"}', "status a number": '{"status": 3}', "final a list": '{"status": "finished", "final": [1]}', "final of texts": '{"status": "finished", "final": {"test_accuracy": "x"}}', "null": "null", "nested": deep, "step text": '{"status": "interrupted", "step": "x"}'},
        "metrics.jsonl": {"a line without metrics": '{"step": 1}\n', "a step that is text": metrics.replace("1,", '"x",', 1), "metrics a list": '{"step": 1, "epoch": 0, "metrics": [1]}\n', "a value that is text": metrics.replace(": 1}", ': "much"}'), "nested": deep + "\n", "binary": bytes(range(256)), "numbers over 64 bits": metrics.replace("1}", "9" * 400 + "}")},
        "readings.jsonl": {"nested": deep + "\n", "values text": '{"step": 1, "epoch": 0, "measurement": "weights", "layer": 1, "name": "a", "mode": "matrix", "values": "x"}\n', "without layer": '{"step": 1, "epoch": 0, "values": {}}\n', "a value a dict": '{"step": 1, "epoch": 0, "measurement": "weights", "layer": 1, "name": "a", "mode": "matrix", "values": {"kappa": {}}}\n', "a layer that is text": '{"step": 1, "epoch": 0, "measurement": "weights", "layer": "x", "name": "a", "mode": "matrix", "values": {"kappa": 1}}\n'},
        "config.yaml": {"empty": "", "a list": "[1]", "model a list": "model: [1]", "binary": bytes(range(256)), "another version": "model: {network: mlp, unknown: 3}", "nested": "a: " + "[" * 10_000},
        "lock": {"abc": "abc", "a huge number": '{"pid": ' + "9" * 30 + ', "host": "x"}', "a list": "[1]", "pid text": '{"pid": "x"}', "negative": json.dumps({"pid": -1, "host": os.uname().nodename})},
    }.items():  # fmt: skip
        for name, content in contents.items():
            setup = _write(f"{RUN}/{file}", content)
            yield Case(f"{file} of another form, reported", name, ["report", "runs", "--out", "page"], setup, check=_others_shown)
            if file != "lock":
                yield Case(f"{file} of another form, listed", name, ["runs", "list"], setup)
            yield Case(f"{file} of another form, started again", name, [*FIT], setup)
    for file in ("environment.json", "state.json", "metrics.jsonl", "readings.jsonl", "lock", "checkpoints"):
        setup = _folder(f"{RUN}/{file}") if file != "checkpoints" else _all(lambda world: shutil.rmtree(world / RUN / "checkpoints"), _write(f"{RUN}/checkpoints", "x"))
        yield Case("a folder where a file is due", file, ["report", "runs", "--out", "page"], setup, check=_others_shown)
        yield Case("a folder where a file is due, started", file, [*FIT], setup)
    for name, content in {"cut": gzip.compress(b"x" * 10_000)[:40], "not gzip": b"hello", "empty": b""}.items():
        setup = _all(lambda world: (world / RUN / "readings.jsonl").unlink(missing_ok=True), _write(f"{RUN}/readings.jsonl.gz", content))
        yield Case("gzipped readings", name, ["report", "runs", "--out", "page"], setup, check=_others_shown)
    for name, command in {"status": "status", "plan": "plan", "report": "report"}.items():
        for what, change in {
            "state a list": lambda world: [(path / "state.json").write_text("[1]") for path in (world / STUDY).glob("0.1-*")],
            "environment empty": lambda world: [(path / "environment.json").write_text("") for path in (world / STUDY).glob("0.1-*")],
            "metrics wrong": lambda world: [(path / "metrics.jsonl").write_text('{"step": 1}\n') for path in (world / STUDY).glob("0.1-*")],
        }.items():
            yield Case(f"a damaged run of a study: study {name}", what, ["study", command, "small.yaml"], change)
    for name, content in {"empty": "", "a list": "[1]", "no cells": "{}", "a cell elsewhere": '{"cells": [{"run": "../../x"}]}', "cells text": '{"cells": "abc"}', "nested": deep}.items():
        yield Case("a manifest of another form", name, ["report", "runs", "--out", "page"], _write(f"{STUDY}/manifest.json", content))


def _others_shown(world: World) -> str | None:
    page = world / "page" / "index.html"
    if page.exists() and "small" not in page.read_text() and "0.1" not in page.read_text():
        return "a bad run hides the others"
    return None


def locks() -> Iterator[Case]:
    """Locks that no live process holds."""
    host = os.uname().nodename

    def old(world: World) -> None:
        os.utime(world / HALF / "lock", (0, 0))

    def tomorrow(world: World) -> None:
        os.utime(world / HALF / "lock", (time.time() + 86_400,) * 2)

    dead = json.dumps({"host": host, "pid": 2**22 - 3, "job": None, "restart": 0, "token": "t"})
    far = dead.replace(host, "elsewhere")
    for name, setup, wanted in (
        ("a dangling link", lambda world: (world / HALF / "lock").symlink_to("nowhere"), ()),
        ("a dead process", _write(f"{HALF}/lock", dead), HANDLED),
        ("another host, long ago", _all(_write(f"{HALF}/lock", far), old), HANDLED),
        ("another host, now", _write(f"{HALF}/lock", far), REFUSED),
        ("another host, dated tomorrow", _all(_write(f"{HALF}/lock", far), tomorrow), ()),
        ("this host's dead process, dated tomorrow", _all(_write(f"{HALF}/lock", dead), tomorrow), HANDLED),
        ("no process at all, long ago", _all(_write(f"{HALF}/lock", "abc"), old), HANDLED),
    ):
        yield Case("a lock", name, [*FIT, "--seed", "1"], setup, wanted=wanted)


def environments() -> Iterator[Case]:
    """Variables of other meaning."""
    for name, value in (
        *(("RANK", each) for each in ("abc", "-1", "")),
        *(("LOCAL_RANK", each) for each in ("abc",)),
        *(("WORLD_SIZE", each) for each in ("abc",)),
        *(("SLURM_NTASKS", each) for each in ("abc", "")),
        *(("SLURM_PROCID", each) for each in ("abc",)),
        *(("SLURM_RESTART_COUNT", each) for each in ("abc",)),
        *(("OMP_NUM_THREADS", each) for each in ("abc", "0", "-1", "2,3", "9" * 20)),
        *(("WANDB_MODE", each) for each in ("nonsense", "ONLINE", "")),
        *(("CUDA_VISIBLE_DEVICES", each) for each in ("abc", "99", "-1", "")),
        *(("REPRO_TRUST", each) for each in (",,", "a b", "\u00e9")),
        *(("HOME", each) for each in ("/nowhere", "/dev/null")),
        *(("COLUMNS", each) for each in ("abc", "0")),
    ):
        yield Case(f"the variable {name}", repr(value[:20]), [*FIT, "--seed", "9"], environment={name: value})
    yield Case("the variable SLURM_ARRAY_TASK_ID", "'abc'", ["landscape", RUN, "--points", "3"], environment={"SLURM_ARRAY_TASK_ID": "abc"})
    for base in ("no url", "http://", "ftp://x", "http://[::1"):
        yield Case(
            "the variable WANDB_BASE_URL",
            base,
            [*FIT, "--seed", "9"],
            environment={"WANDB_MODE": "online", "WANDB_BASE_URL": base, "WANDB_API_KEY": "x" * 40},
        )
    yield Case("the variable WANDB_BASE_URL", "sync", ["wandb-sync", RUN], environment={"WANDB_BASE_URL": "no url", "WANDB_API_KEY": "x" * 40})


def platforms() -> Iterator[Case]:
    """Limits of the machine."""

    def long(world: World) -> None:
        (world / ("t" * 60) / ("u" * 60)).mkdir(parents=True)

    long_folder = f"{{world}}/{'t' * 60}/{'u' * 60}"
    workers = [*FOLDER, "--data.workers", "1"]
    yield Case("a long TMPDIR", "one worker", workers, long, before=partial(_set_world, "TMPDIR", long_folder), wanted=HANDLED)
    yield Case("a long TMPDIR", "report", ["report", "runs", "--out", "page"], long, before=partial(_set_world, "TMPDIR", long_folder), wanted=HANDLED)
    yield Case("a TMPDIR that is not there", "one worker", workers, environment={"TMPDIR": "/nowhere"}, wanted=HANDLED)
    for code in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
        yield Case("no hard links", errno.errorcode[code], [*FIT, "--seed", "1"], before=partial(_no_links, code), wanted=HANDLED, check=_finished)
    for encoding in ("ascii", "latin-1", "cp1252", "utf-16"):
        yield Case("terminals that are not UTF-8", encoding, ["theory", "--list"], environment={"ENCODING": encoding})
        yield Case("terminals that are not UTF-8", f"{encoding}, measure", ["measure", RUN, "--probe-size", "16"], environment={"ENCODING": encoding}, wanted=HANDLED)
        yield Case("terminals that are not UTF-8", f"{encoding}, status", ["study", "status", "small.yaml"], environment={"ENCODING": encoding})
    yield Case("few open files", "8", [*FIT, "--seed", "9"], before=partial(_limit, resource.RLIMIT_NOFILE, 8))
    yield Case("few open files", "24", [*FIT, "--seed", "9"], before=partial(_limit, resource.RLIMIT_NOFILE, 24))
    yield Case("few open files", "24, one worker", workers, before=partial(_limit, resource.RLIMIT_NOFILE, 24))
    yield Case("no standard output", "closed", ["runs", "list"], before=partial(_closed, "stdout"))
    yield Case("no standard error", "closed", ["runs", "list"], before=partial(_closed, "stderr"), wanted=HANDLED)
    yield Case("a small /dev/shm", "2 kB free, two workers", [*FOLDER, "--data.workers", "2"], before=partial(_shm, 2_000), wanted=HANDLED)
    yield Case("a small /dev/shm", "none, two workers", [*FOLDER, "--data.workers", "2"], before=partial(_shm, None), wanted=HANDLED)
    for what, change in {"deleted": partial(shutil.rmtree, ignore_errors=True), "moved": lambda path: path.rename("elsewhere")}.items():
        yield Case("a run directory that vanishes", what, [*FIT, "--seed", "9", "--trainer.max_epochs", "3000"], before=partial(_vanish, change), says="moved or deleted")
    yield Case("no fork server", "refused", workers, before=_no_server)
    yield Case("a killed worker", "SIGKILL", [*workers, "--trainer.max_epochs", "2000"], before=_kill_worker, says="(?i)memory")
    for name, command in {
        "test": ["test", RUN],
        "report": ["report", "runs", "--out", "/proc/page"],
        "report beside": ["report", "runs", "--out", "{world}/page"],
        "runs list": ["runs", "list"],
        "runs show": ["runs", "show", RUN],
        "fit again": FIT,
        "fit on": [*FIT, "--seed", "1"],
        "fit new": [*FIT, "--seed", "2"],
        "study run": ["study", "run", "small.yaml", "--jobs", "2"],
        "study report": ["study", "report", "small.yaml"],
        "study status": ["study", "status", "small.yaml"],
        "measure": ["measure", RUN, "--probe-size", "16"],
        "landscape": ["landscape", RUN, "--points", "3"],
        "clean": ["runs", "clean", "--delete", "--keep", "0"],
        "data check": ["data", "check", "ImageFolder", "--root", "images"],
        "data show": ["data", "show", "MNIST5k"],
        "keep": ["study", "keep", "small.yaml"],
    }.items():
        ends_well = HANDLED if name in ("test", "runs list", "runs show", "fit again", "study status", "data check") else ()
        yield Case("a read-only place", name, command, _readable, before=_ordinary, wanted=ends_well, check=_unchanged)

    def closed(world: World) -> None:
        (world / "runs/single").chmod(0o000)

    for name, command in {"list": ["runs", "list"], "report": ["report", "runs", "--out", "page"], "fit": FIT}.items():
        yield Case("permission denied", name, command, closed, before=_ordinary)


def _finished(world: World) -> str | None:
    state = json.loads((world / HALF / "state.json").read_text())
    return None if state["status"] == "finished" else f"the run is {state['status']}"


def _unchanged(world: World) -> str | None:
    state = json.loads((world / RUN / "state.json").read_text())
    return None if state["status"] == "finished" else f"the run is {state['status']}"


def _readable(world: World) -> None:
    """Everything may be read and nothing written."""
    for path in (world, *world.rglob("*")):
        if not path.is_symlink() and path.name not in ("stdout", "stderr"):
            path.chmod(0o555 if path.is_dir() else 0o444)


def _ordinary() -> None:
    """Permissions count, for root too."""
    libc = ctypes.CDLL(None)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc.capget(header, sets)
    for place in (0, 1):  # effective and permitted: not CAP_DAC_OVERRIDE, not CAP_DAC_READ_SEARCH
        sets[place] &= ~0b110
    libc.capset(header, sets)


def _closed(stream: str) -> None:
    """As Python starts where the caller has closed it."""
    setattr(sys, stream, None)


def _set_world(name: str, value: str) -> None:
    os.environ[name] = value.replace("{world}", str(Path.cwd()))


def _no_links(code: int) -> None:
    def link(*_arguments: object, **_keywords: object) -> None:
        raise OSError(code, os.strerror(code))

    os.link = link  # type: ignore[assignment]


def _limit(which: int, value: int) -> None:
    resource.setrlimit(which, (value, value))


def _shm(free: int | None) -> None:
    from repro.data.loading import workers

    workers.shared_memory = lambda: free


def _vanish(change: Callable[[Path], object]) -> None:
    def work() -> None:
        while not (found := list(Path("runs/single").glob("*3000-seed9*/metrics.jsonl"))):
            time.sleep(0.05)
        time.sleep(1.0)
        change(found[0].parent)

    threading.Thread(target=work, daemon=True).start()


def _no_server() -> None:
    from multiprocessing import forkserver

    def refuse() -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    forkserver.ensure_running = refuse  # type: ignore[assignment]


def _kill_worker() -> None:
    """As the kernel does when memory runs out."""
    from torch.utils.data import dataloader

    _iterators: list[Any] = []

    def work() -> None:
        while not any(each._workers for each in _iterators):
            time.sleep(0.2)
        time.sleep(1.0)
        os.kill(_iterators[0]._workers[0].pid, signal.SIGKILL)

    begin = dataloader._MultiProcessingDataLoaderIter.__init__

    def noted(self: Any, *arguments: Any, **keywords: Any) -> None:
        begin(self, *arguments, **keywords)
        _iterators.append(self)

    dataloader._MultiProcessingDataLoaderIter.__init__ = noted  # type: ignore[method-assign]
    threading.Thread(target=work, daemon=True).start()


def _fault_open(part: str, code: int) -> None:
    """Opening files whose path contains this fails."""
    of_io = io.open

    def opened(file: Any, *arguments: Any, **keywords: Any) -> Any:
        if part in str(file):
            raise OSError(code, os.strerror(code), str(file))
        return of_io(file, *arguments, **keywords)

    builtins.open = io.open = opened  # type: ignore[assignment]


def disks() -> Iterator[Case]:
    """A disk that is full, from its n-th write on (a limit on a file's size, where there is no other)."""
    commands: dict[str, list[object]] = {
        "fit, new": [*FIT, "--seed", "2"],
        "fit, going on": [*FIT, "--seed", "1"],
        "report": ["report", "runs", "--out", "page"],
        "study report": ["study", "report", "small.yaml"],
        "measure": ["measure", RUN, "--probe-size", "16"],
        "landscape": ["landscape", RUN, "--points", "3"],
        "keep": ["study", "keep", "small.yaml"],
        "study run": ["study", "run", "small.yaml", "--seed", "3", "--jobs", "1"],
        "features": [*FIT, "--seed", "4", "--model.train", "output", "--model.skip_neurons", "5"],
        "fit, measured": [*FIT, "--seed", "6", "--measure.measurements", "[weights]", "--measure.probe_size", "16"],
        "prepare a zip": ["data", "prepare", "ImageFolder", "--root", "new", "--from", "images.zip"],
    }
    for name, command in commands.items():
        for size in (0, 600, 4096, 40_000):
            limit, check = partial(_limit, resource.RLIMIT_FSIZE, size), partial(_goes_on, command)
            yield Case("a full disk", f"{name}, {size:,} bytes", command, _zip_images, before=limit, check=check)
    for size in (600, 40_000):
        command = [*FIT, "--seed", "7"]
        limit, check = partial(_limit, resource.RLIMIT_FSIZE, size), partial(_goes_on, command)
        yield Case("a full disk", f"W&B offline, {size:,} bytes", command, before=limit, environment={"WANDB_MODE": "offline"}, check=check)


def _goes_on(command: Sequence[object], world: World) -> str | None:
    """What was there is there, and the same command goes on once there is room."""
    for name in (RUN, HALF):
        if not json.loads((world / name / "state.json").read_text()).get("status"):
            return f"{name} has lost its state"
        if not list((world / name / "checkpoints").glob("step-*.ckpt")):
            return f"{name} has lost its checkpoint"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    process = os.fork()
    if not process:
        os.chdir(world)
        os.environ.update(environment)
        sys.argv = ["repro", *map(str, command)]
        for number in (1, 2):
            os.dup2(os.open(world / "again", os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
        from repro import cli

        try:
            cli.main()
        except SystemExit as end:
            os._exit(int(end.code or 0))
        except BaseException:
            os._exit(99)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return None if status == 0 else f"with room again it ends with {status}: {(world / 'again').read_text()[-200:]}"


def _zip_images(world: World) -> None:
    with zipfile.ZipFile(world / "images.zip", "w") as archive:
        for path in (world / "images").rglob("*.png"):
            archive.write(path, path.relative_to(world / "images"))


def pictures() -> Iterator[Case]:
    """Images that are not 8-bit RGB or grey, damaged ones, and what lies beside them."""
    draw = np.random.default_rng(1)
    deep = draw.integers(0, 65_536, (20, 24), np.uint16)
    good = io.BytesIO()
    Image.fromarray(draw.integers(0, 256, (64, 64, 3), np.uint8)).save(good, "JPEG", quality=95)
    jpeg = good.getvalue()

    def saved(mode: str, name: str, **options: Any) -> Callable[[World], object]:
        def save(world: World) -> None:
            Image.fromarray(draw.integers(0, 256, (20, 24, 3), np.uint8)).convert(mode).save(world / f"images/train/a/x{name}", **options)

        return save

    def of_array(array: Any, name: str) -> Callable[[World], object]:
        return lambda world: Image.fromarray(array).save(world / f"images/train/a/x{name}")

    middle = bytearray(jpeg)
    middle[len(jpeg) // 2 : len(jpeg) // 2 + 400] = bytes(400)
    check = ["data", "check", "ImageFolder", "--root", "images"]
    for name, setup, wanted in (
        ("16-bit PNG", of_array(deep, ".png"), HANDLED),
        ("16-bit TIFF", of_array(deep, ".tif"), HANDLED),
        ("32-bit integers", of_array(deep.astype(np.int32), ".tif"), REFUSED),
        ("floating point", of_array(deep.astype(np.float32), ".tif"), REFUSED),
        ("one bit", saved("1", ".png"), HANDLED),
        ("CMYK", saved("CMYK", ".jpg"), HANDLED),
        ("palette", saved("P", ".png"), HANDLED),
        ("alpha", saved("RGBA", ".png"), HANDLED),
        ("grey and alpha", saved("LA", ".png"), HANDLED),
        ("YCbCr", saved("YCbCr", ".tif"), HANDLED),
        ("CIELab", saved("LAB", ".tif"), ()),
    ):
        yield Case("pixels, checked", name, check, setup, wanted=wanted)
        yield Case("pixels, trained on", name, [*FOLDER, "--data.workers", "0"], setup, wanted=wanted)
    for name, content in {
        "middle zeroed": bytes(middle),
        "cut in half": jpeg[: len(jpeg) // 2],
        "cut, with an end mark": jpeg[: len(jpeg) // 2] + b"\xff\xd9",
        "empty": b"",
        "text": b"hello",
        "HTML": b"<html>404</html>",
        "a header alone": jpeg[:200],
    }.items():
        yield Case("a damaged JPEG", name, check, _write("images/train/a/x.jpg", content), wanted=REFUSED, says="x.jpg")
    png = io.BytesIO()
    Image.new("RGB", (64, 64)).save(png, "PNG")
    for name, content in {"cut": png.getvalue()[:-20], "a byte changed": png.getvalue()[:60] + b"\xff" + png.getvalue()[61:]}.items():
        yield Case("a damaged PNG", name, check, _write("images/train/a/x.png", content), wanted=REFUSED, says="x.png")

    def bomb(world: World) -> None:
        def chunk(kind: bytes, content: bytes) -> bytes:
            return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

        header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
        (world / "images/train/a/x.png").write_bytes(content)

    yield Case("a decompression bomb", "3.6 gigapixels, checked", check, bomb, wanted=REFUSED)
    yield Case("a decompression bomb", "3.6 gigapixels, trained on", [*FOLDER, "--data.workers", "0"], bomb)

    def beside(*names: str) -> Callable[[World], object]:
        def put(world: World) -> None:
            for name in names:
                path = world / "images" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if name.endswith("/"):
                    path.mkdir(exist_ok=True)
                elif "dead" in name:
                    path.symlink_to("nowhere")
                else:
                    shutil.copy(world / "images/train/a/0.png", path)

        return put

    for name, setup, says in (
        ("images in subfolders", beside("train/a/session2/1.png", "train/a/session2/2.png"), "2 in subfolders"),
        ("dead links", beside("train/a/dead.png", "train/b/dead.jpg"), "2 dead links"),
        ("foreign files", beside("train/a/notes.txt", "train/a/x.heic"), "2 (other|foreign)"),
        ("hidden files", beside("train/a/._x.png", "train/.DS_Store", "train/.ipynb_checkpoints/x.png"), ""),
        ("__MACOSX", beside("train/__MACOSX/._x.png"), ""),
        ("a folder named like an image", beside("train/a/x.png/"), ""),
        ("images beside the classes", beside("train/x.png"), "1 (beside|outside)"),
        ("upper-case endings", beside("train/a/X.PNG"), ""),
        ("a folder valid", beside("valid/a/1.png", "valid/b/1.png"), "valid"),
    ):
        yield Case("what lies beside images", name, check, setup, says=says)
        yield Case("what lies beside images, prepared", name, ["data", "prepare", "ImageFolder", "--root", "new", "--from", "images"], setup, says=says)

    def only_valid(world: World) -> None:
        (world / "images/val").rename(world / "images/validation")

    yield Case("another name for the held-out part", "validation", check, only_valid, says="validation")

    def turned(world: World) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (20, 30)).save(world / "images/train/a/x.jpg", exif=exif)

    yield Case("an image that says how it is turned", "EXIF 6", check, turned, says="EXIF")


def archives() -> Iterator[Case]:
    """Zips that one does not want."""
    prepare = ["data", "prepare", "ImageFolder", "--root", "new", "--from", "x.zip"]
    image = io.BytesIO()
    Image.new("RGB", (20, 20)).save(image, "PNG")
    members = {f"{part}/{label}/{n}.png": image.getvalue() for part in ("train", "val") for label in "ab" for n in range(3)}

    def zipped(change: Callable[[zipfile.ZipFile], object], **options: Any) -> Callable[[World], object]:
        def make(world: World) -> None:
            with zipfile.ZipFile(world / "x.zip", "w", **options) as archive:
                for name, content in members.items():
                    archive.writestr(name, content)
                change(archive)

        return make

    def patched(offset: int, value: bytes) -> Callable[[World], object]:
        def patch(world: World) -> None:
            zipped(_nothing)(world)
            content = bytearray((world / "x.zip").read_bytes())
            for mark, shift in ((b"PK\x03\x04", offset), (b"PK\x01\x02", offset + 2)):
                start = content.find(mark)
                while start >= 0:
                    content[start + shift : start + shift + len(value)] = value
                    start = content.find(mark, start + 4)
            (world / "x.zip").write_bytes(content)

        return patch

    for name, setup, wanted, says in (
        ("encrypted", patched(6, b"\x01\x00"), REFUSED, ""),
        ("an unknown compression", patched(8, b"\x63\x00"), REFUSED, ""),
        ("cut", _all(zipped(_nothing), lambda world: os.truncate(world / "x.zip", 300)), REFUSED, ""),
        ("the same name twice", zipped(lambda archive: archive.writestr("train/a/0.png", b"other")), REFUSED, "twice|same"),
        ("names that differ in case", zipped(lambda archive: archive.writestr("train/A/0.png", image.getvalue())), (), ""),
        ("text files called .png", zipped(lambda archive: archive.writestr("train/a/x.png", b"hello")), HANDLED, "repro data check decodes"),
        ("one GB of zeros", zipped(lambda archive: archive.writestr("train/a/x.png", bytes(10**9)), compression=zipfile.ZIP_DEFLATED), HANDLED, "repro data check decodes"),
        ("a path outside", zipped(lambda archive: archive.writestr("../../evil.png", b"x")), REFUSED, ""),
        ("__MACOSX in it", zipped(lambda archive: archive.writestr("__MACOSX/train/a/._0.png", b"x")), HANDLED, ""),
        ("notes in it", zipped(lambda archive: archive.writestr("train/a/notes.txt", b"x")), HANDLED, ""),
        ("empty", _write("x.zip", b""), REFUSED, ""),
        ("text", _write("x.zip", b"hello"), REFUSED, ""),
    ):  # fmt: skip
        yield Case("an archive", name, prepare, setup, wanted=wanted, says=says, check=_no_evil)

    def cifar(change: Mapping[str, bytes]) -> Callable[[World], object]:
        def make(world: World) -> None:
            with zipfile.ZipFile(world / "c.zip", "w") as archive:
                for name, content in change.items():
                    archive.writestr(name, content)

        return make

    for name, content in {
        "empty": {},
        "__MACOSX and .DS_Store": {"__MACOSX/train/a/._x.png": b"x", "train/a/.DS_Store": b"x"},
        "one class": {"train/a/0.png": image.getvalue(), "test/a/0.png": image.getvalue()},
        "text called .png": {"train/a.png": b"x", "test/a.png": b"x"},
    }.items():
        yield Case("a zip of small images", name, ["data", "prepare", "cifar10", "--from", "c.zip"], cifar(content), wanted=REFUSED)


def idx() -> Iterator[Case]:
    """MNIST's files, or what is called so."""
    prepare = ["data", "prepare", "mnist", "--from", "digits"]
    name = "train-images-idx3-ubyte"
    for what, file, content in (
        ("empty", name, b""),
        ("a header alone", name, b"\0\0\x08\x03"),
        ("another kind", name, b"\0\0\x0d\x03" + bytes(12)),
        ("sizes over all memory", name, b"\0\0\x08\x03" + b"\xff" * 12),
        ("damaged gzip", f"{name}.gz", b"\x1f\x8b" + bytes(20)),
        ("HTML", f"{name}.gz", b"<html>"),
        ("names with dots", "train-images.idx3-ubyte", b"x"),
        ("a zip of them", "mnist.zip", b"PK"),
        ("nothing", "readme.txt", b""),
    ):
        yield Case("MNIST's files", what, prepare, _write(f"digits/{file}", content), wanted=REFUSED, says=file if "dots" in what or "zip" in what else "")
    yield Case("MNIST's files", "a folder in a file's place", prepare, lambda world: (world / f"digits/{name}").mkdir(parents=True), wanted=REFUSED)
    yield Case("MNIST's files", "no such folder", prepare, wanted=REFUSED)


NETWORKS = '''
import torch
from torch import nn

class Base(nn.Module):
    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 3)
        self.linear = nn.Linear(4, num_classes)
    def forward(self, images):
        return self.linear(self.conv(images).mean((2, 3)))

class Conv1d(Base):
    def forward(self, images):
        return nn.Conv1d(1, 2, 3)(images)
class Tuple(Base):
    def forward(self, images): return (super().forward(images), 1)
class Dict(Base):
    def forward(self, images): return {"logits": super().forward(images)}
class Scalar(Base):
    def forward(self, images): return super().forward(images).sum()
class Spatial(Base):
    def forward(self, images): return self.conv(images)
class Five(Base):
    def forward(self, images): return super().forward(images)[:, :5]
class Raises(Base):
    def forward(self, images): raise ValueError("mine")
class BadInit(Base):
    def __init__(self, num_classes, in_channels): raise ValueError("mine")
class Signature(Base):
    def forward(self, images, more): return super().forward(images)
class NoArguments(nn.Module):
    def __init__(self): super().__init__()
class Weightless(nn.Module):
    def __init__(self, num_classes, in_channels): super().__init__()
    def forward(self, images): return images.flatten(1)[:, :10]
class InPlace(Base):
    def forward(self, images): return super().forward(images.mul_(2))
class Nothing(Base):
    def forward(self, images): return None
def made(change):
    def make(num_classes, in_channels) -> nn.Module:
        return change(Base(num_classes, in_channels))
    return make
def frozen(num_classes, in_channels) -> nn.Module:
    return Base(num_classes, in_channels).requires_grad_(False)
def half(num_classes, in_channels) -> nn.Module:
    return Base(num_classes, in_channels).half()
def double(num_classes, in_channels) -> nn.Module:
    return Base(num_classes, in_channels).double()
def meta(num_classes, in_channels) -> nn.Module:
    return Base(num_classes, in_channels).to("meta")
def lazy(num_classes, in_channels) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))
def nan(num_classes, in_channels) -> nn.Module:
    network = Base(num_classes, in_channels)
    nn.init.constant_(network.linear.weight, float("nan"))
    return network
def none(num_classes, in_channels) -> nn.Module:
    return None
def exits(num_classes, in_channels) -> nn.Module:
    raise SystemExit(3)
'''


def networks() -> Iterator[Case]:
    """Networks of the user's own that do not fit."""
    names = "Conv1d Tuple Dict Scalar Spatial Five Raises BadInit Signature NoArguments Weightless InPlace Nothing frozen half double meta lazy nan none exits"
    for name in names.split():
        own = name in ("Raises", "BadInit", "Conv1d")
        yield Case("a network that does not fit", name, [*FIT, "--model.network", f"nets:{name}"], _write("nets.py", NETWORKS), own_traceback=own)
    for name in ("Tuple", "Five", "Weightless", "half", "double", "meta", "lazy", "Scalar"):
        images = ["measure", f"nets:{name}", "--images", "images/train", "--probe-size", "4", "--num-classes", "10"]
        yield Case("a network that does not fit, measured", name, images, _write("nets.py", NETWORKS))
    for path in ("nets:Missing", "nets:torch", "nets:", ":x", "missing:x", "os:system", "nets:Base.forward", "broken:X"):
        yield Case("code by name", path, [*FIT, "--model.network", path], _all(_write("nets.py", NETWORKS), _write("broken.py", "1/0")), wanted=REFUSED)


def landscapes() -> Iterator[Case]:
    """Arguments of `landscape` and `measure`."""
    for more in (
        *(["--part", text] for text in ("x", "0/2", "3/2", "1/99999999999999999999", "-1/2")),
        *(["--points", text] for text in ("1", "1000000", "-3", "9" * 20, "x")),
        *(["--radius", text] for text in ("nan", "inf", "-1", "1e308", "1e-308")),
        *(["--samples", text] for text in ("0", "99999999")),
        *(["--seed", text] for text in ("-1", "9" * 30)),
        *(["--batch-size", text] for text in ("9" * 30,)),
        *(["--together", text] for text in ("1000000",)),
        ["--device", "gpu7"],
        ["--directions", "pca"],
    ):
        small = [] if more[0] == "--points" else ["--points", "3"]
        yield Case("arguments of landscape", " ".join(more)[:30], ["landscape", RUN, *small, *more])
    for what, content in {"values text": "hello\n", "a point outside": '{"point": 99, "loss": 1, "errors": 0}\n', "a point that is text": '{"point": "x", "loss": 1, "errors": 0}\n', "no loss": '{"point": 1}\n', "a folder": None}.items():
        change = _folder(f"{RUN}/landscape/values-1of1.jsonl") if content is None else _write(f"{RUN}/landscape/values-1of1.jsonl", content)
        plan = _write(f"{RUN}/landscape/surface.json", json.dumps({"points": 3, "radius": 1.0, "directions": "random", "samples": 500}))
        yield Case("a surface of another form", what, ["report", "runs", "--out", "page"], _all(plan, change))
    for what, content in {"empty": "", "a list": "[1]", "points 10^6": '{"points": 1000000, "radius": 1, "directions": "x", "samples": 1}', "points text": '{"points": "x"}'}.items():
        yield Case("a surface's plan of another form", what, ["report", "runs", "--out", "page"], _write(f"{RUN}/landscape/surface.json", content))
    for more in (
        *(["--layers", text] for text in ("0", "99", "9" * 30)),
        *(["--probe-size", text] for text in ("1", "99999999", "9" * 30)),
        *(["--measurements", text] for text in ("nothing", "gradient")),
        *(["--device", text] for text in ("gpu7", "cuda:99", "meta")),
    ):
        usual = ["--measurements", "distributions"] if more[0] == "--layers" else []
        yield Case("arguments of measure", " ".join(more)[:30], ["measure", RUN, *usual, *more])
    for target in ("missing", "small.yaml", "runs", "images", "timm/nothing", f"{RUN}/state.json", f"{RUN}/checkpoints/missing.ckpt"):
        yield Case("targets of measure", target, ["measure", target, "--images", "images/train"] if target.startswith("timm") else ["measure", target], wanted=REFUSED)


def texts() -> Iterator[Case]:
    """Names in figures, pages and terminals."""
    for name in (r"$\frac{", "学习率_高", "a<b>&\"'", "=cmd|' /C calc'!A0", "%s{}", "x" * 140, "é\u0301", "🙂"):
        yield Case("a name", name[:20], [*FIT, "--name", name, "--seed", "5"])
        changed = STUDY_FILE | {"title": name, "grid": {"x": {name: {"seed": 0}, "other": {"seed": 1}}}, "claims": [], "seed_key": "data.seed"}
        yield Case("a name in a study's figures", name[:20], ["study", "run", "s.yaml", "--jobs", "1"], _write("s.yaml", yaml.safe_dump(changed)), check=_no_formula)


def _no_formula(world: World) -> str | None:
    for path in world.rglob("*.csv"):
        for line in path.read_text().splitlines():
            if line.startswith(("=", "+", "@", '"=', '"+', '"@')):
                return f"a spreadsheet would compute {line[:30]}"
    return None


def _no_evil(world: World) -> str | None:
    return "a file lies outside" if list(world.parent.rglob("evil.png")) else None


def commands() -> Iterator[Case]:
    """Commands in the wrong form."""
    for arguments in (
        *(["fit", "x"], ["fit", "--unknown"], ["nothing"], ["study"], ["study", "run"], ["study", "run", "nothing"]),
        *(["runs", "show", "nowhere"], ["runs", "compare", RUN], ["runs", "clean", "--keep", "-1"], ["runs", "list", "images"]),
        *(["report"], ["report", "--all"], ["report", "images", "--out", "page"], ["report", "runs", "--out", "small.yaml"]),
        *(["data", "prepare", "nothing"], ["data", "check", "cifar10"], ["data", "show", "MNIST5k", "--images", "0"]),
        *(["data", "show", "MNIST5k", "--images", "99999999"], ["data", "show", "MNIST5k", "--out", "x.jpg"]),
        *(["wandb-sync", "nowhere"], ["wandb-sync", "images"], ["test", "nowhere"], ["validate", RUN], ["test", "runs"]),
        *(["theory", "nothing"], ["demo", "--seed", "x"], ["doctor", "nothing"], ["doctor", "missing.yaml"]),
        *(["study", "run", "small.yaml", "--jobs", "0"], ["study", "run", "small.yaml", "--budget", "0.01"]),
        *(["study", "run", "small.yaml", "--seed", "-1"], ["study", "plan", "small.yaml", "--preset", "x"]),
        *(["study", "submit", "small.yaml", "--time", "x"], ["study", "submit", "small.yaml", "--max-parallel", "0"]),
    ):
        yield Case("commands", " ".join(arguments)[:40], arguments, wanted=REFUSED)


def waits() -> Iterator[Case]:
    """What waits hears a signal and the budget."""
    def lock(world: World) -> None:
        (world / "data").mkdir(exist_ok=True)
        draw = np.random.default_rng(0)
        with zipfile.ZipFile(world / "c.zip", "w") as archive:
            for part in ("train", "test"):
                for label in "abcdefghij":
                    content = io.BytesIO()
                    Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8)).save(content, "PNG")
                    archive.writestr(f"{part}/{label}/0.png", content.getvalue())

    def hold() -> None:
        if not os.fork():
            with Path("data/.CIFAR10.lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                time.sleep(40)
            os._exit(0)
        time.sleep(0.5)

    yield Case("a wait for another process", "data prepare", ["data", "prepare", "cifar10", "--from", "c.zip"], lock, before=hold, kill_after=9, says="wait")


KINDS = (nulls, yamls, flags, sizes, studies, checkpoints, records, locks, environments, platforms, disks, pictures, archives, idx, networks, landscapes, texts, commands, waits)  # fmt: skip


def table() -> list[Case]:
    """All of them."""
    return [case for kind in KINDS for case in kind()]
