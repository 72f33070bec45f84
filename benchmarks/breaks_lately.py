"""More hostile and careless inputs of `benchmarks/breaks.py`: of the commands that came last, and of kinds met late."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import re
import shutil
import signal
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from breaks_inputs import (
    FIT,
    FOLDER,
    HALF,
    HANDLED,
    REFUSED,
    RUN,
    STUDY,
    STUDY_FILE,
    Case,
    World,
    _all,
    _nothing,
    _write,
)

HERE = Path(__file__).parents[1]
NEW = [*FIT, "--seed", "9"]


def _packed(values: Sequence[float]) -> str:
    parts = np.ascontiguousarray(values, "<f4").view(np.uint8).reshape(-1, 4).T
    return base64.b64encode(zlib.compress(parts.tobytes(), 6)).decode()


def _spectra(*changes: dict[str, Any], run: str = RUN) -> Callable[[World], object]:
    usual = {"step": 1, "epoch": 0, "measurement": "weights", "layer": 1, "name": "a", "mode": "matrix"}
    lines = [{**usual, "singular_values": _packed([3, 2, 1]), **change} for change in changes]
    return _write(f"{run}/spectra.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def _nothing_outside(world: World) -> str | None:
    inside = {"world", "stdout", "stderr"}
    if odd := [path.name for path in world.parent.iterdir() if path.name not in inside]:
        return f"{odd} lie outside"
    return "a stranger's text ran" if list(world.rglob("PWNED")) else None


def spectra() -> Iterator[Case]:
    """All singular values, of a stranger's run."""
    show = ["spectra", RUN, "--out", "spectra"]
    bomb = base64.b64encode(zlib.compress(bytes(2**30), 9)).decode()
    for name, change in {
        "a measurement that is a path": {"measurement": "../../../evil"},
        "a mode that is a path": {"mode": "/../../../../evil"},
        "a mode of 300 letters": {"mode": "x" * 300},
        "a step over 64 bits": {"step": 10**30},
        "a layer over 64 bits": {"layer": 10**30},
        "a negative layer": {"layer": -3},
        "a negative step": {"step": -3},
        "no text at all": {"singular_values": ""},
        "a text that is no base 64": {"singular_values": "%%%%"},
        "letters that are not ASCII": {"singular_values": "é"},
        "three bytes": {"singular_values": base64.b64encode(zlib.compress(b"abc")).decode()},
        "a bomb": {"singular_values": bomb},
        "no values": {"singular_values": _packed([])},
        "ascending": {"singular_values": _packed([1, 2, 3])},
        "negative": {"singular_values": _packed([3, 2, -1])},
        "NaN inside": {"singular_values": _packed([3, np.nan, 1])},
        "infinite inside": {"singular_values": _packed([3, np.inf, 1])},
        "all NaN": {"singular_values": _packed([np.nan] * 3)},
        "zeros": {"singular_values": _packed([0, 0, 0])},
        "subnormal": {"singular_values": _packed([1e-45, 1e-45])},
        "near the largest float": {"singular_values": _packed([3e38, 1e-38])},
        "a name of HTML": {"name": "<script>alert(1)</script>", "mode": "<b>"},
        "a mode that steers the terminal": {"mode": "\x1b[31mred"},
    }.items():
        yield Case("spectra of another form", name, show, _spectra(change, {"layer": 2}), check=_nothing_outside)
        yield Case("spectra of another form, reported", name, ["report", RUN, "--out", "page"], _spectra(change, {"layer": 2}), check=_nothing_outside)
    yield Case("spectra of another form", "not gzip", show, _write(f"{RUN}/spectra.jsonl.gz", b"x"), wanted=REFUSED)
    yield Case("spectra of another form", "no lines", show, _write(f"{RUN}/spectra.jsonl", ""), wanted=REFUSED)
    for value in ("nan", "inf", "-1", "1", "1e400", "x", "٣", "1_0"):
        yield Case("a value for --tolerance", value, ["spectra", RUN, "--tolerance", value], _spectra({}))
    for target in ("missing", "small.yaml", "images", ".", "runs", "/dev/null"):
        yield Case("targets of spectra", target, ["spectra", target], wanted=REFUSED)
    yield Case("places of spectra", "a file", ["spectra", RUN, "--out", "small.yaml"], _spectra({}), wanted=REFUSED)


def _pipe(name: str) -> Callable[[World], object]:
    def make(world: World) -> None:
        path = world / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    return make


def _link(name: str, target: str) -> Callable[[World], object]:
    def make(world: World) -> None:
        path = world / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    return make


def no_files() -> Iterator[Case]:
    """Pipes, devices and links where a file is due: some never end."""
    for file in ("state.json", "environment.json", "metrics.jsonl", "readings.jsonl", "spectra.jsonl", "config.yaml", "lock"):
        for what, make in {"a pipe": _pipe(f"{RUN}/{file}"), "/dev/zero": _link(f"{RUN}/{file}", "/dev/zero")}.items():
            yield Case("no file where one is due, reported", f"{file} {what}", ["report", "runs", "--out", "page"], make)
            yield Case("no file where one is due, started again", f"{file} {what}", [*FIT], make)
    for name, make in {
        "a checkpoint": _all(lambda world: [path.unlink() for path in (world / HALF / "checkpoints").glob("*")], _pipe(f"{HALF}/checkpoints/step-00000002.ckpt")),
        "features": _pipe(f"{HALF}/features-0.npy"),
        "the surface's plan": _pipe(f"{HALF}/landscape/surface.json"),
    }.items():
        yield Case("no file where one is due, going on", name, [*FIT, "--seed", "1"], make)
    yield Case("no file where one is due, reported", "manifest.json a pipe", ["report", "runs", "--out", "page"], _pipe(f"{STUDY}/manifest.json"))
    yield Case("no file where one is due, reported", "manifest.json /dev/zero", ["report", "runs", "--out", "page"], _link(f"{STUDY}/manifest.json", "/dev/zero"))
    yield Case("no file where one is due", "the page's memory", ["report", "runs", "--out", "page"], _pipe("page/.memory.json.gz"))
    yield Case("no file where one is due", "the page's place", ["report", "runs", "--out", "page"], _pipe("page/index.html"), wanted=HANDLED)
    yield Case("no file where one is due", "a study", ["study", "plan", "pipe.yaml"], _pipe("pipe.yaml"), wanted=REFUSED)
    yield Case("no file where one is due", "a card's text", ["card", RUN, "--out", "card"], _pipe("card/README.md"), wanted=REFUSED)
    yield Case("no file where one is due", "--setup", ["submit", "c.yaml", "--setup", "setup", "--dry-run"], _all(_config(), _pipe("setup")), wanted=REFUSED)
    yield Case("no file where one is due", "--setup /dev/zero", ["submit", "c.yaml", "--setup", "/dev/zero", "--dry-run"], _config(), wanted=REFUSED)
    yield Case("no file where one is due", "a configuration to submit", ["submit", "pipe.yaml", "--dry-run"], _pipe("pipe.yaml"), wanted=REFUSED)
    yield Case("no file where one is due", "an image, checked", ["data", "check", "ImageFolder", "--root", "images"], _pipe("images/train/a/x.png"))
    yield Case("no file where one is due", "an image, trained on", [*FOLDER, "--data.workers", "0"], _pipe("images/train/a/x.png"))
    yield Case("no file where one is due", "an image, prepared", ["data", "prepare", "ImageFolder", "--root", "new", "--from", "images"], _pipe("images/train/a/x.png"))
    yield Case("no file where one is due", "an image, measured", ["measure", "timm/resnet10t", "--images", "images/train", "--probe-size", "99"], _pipe("images/train/a/x.png"))
    yield Case("no file where one is due", "an image /dev/zero, measured", ["measure", "timm/resnet10t", "--images", "images/train", "--probe-size", "99"], _link("images/train/a/x.png", "/dev/zero"))
    yield Case("no file where one is due", "an archive", ["data", "prepare", "ImageFolder", "--root", "new", "--from", "x.zip"], _pipe("x.zip"), wanted=REFUSED)
    yield Case("no file where one is due", "MNIST's file", ["data", "prepare", "mnist", "--from", "digits"], _pipe("digits/train-images-idx3-ubyte"), wanted=REFUSED)
    yield Case("no file where one is due", "kept values", ["study", "keep", "small.yaml"], lambda world: [_pipe(str(path.relative_to(world) / "metrics.jsonl"))(world) for path in (world / STUDY).glob("0.1-*")])


def _secret(world: World) -> None:
    (world.parent / "world" / "secret").write_text("PRIVATE KEY\n")


def _tells(where: str) -> Callable[[World], str | None]:
    def look(world: World) -> str | None:
        for path in (world / where).rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                content = gzip.decompress(content) if path.suffix == ".gz" else content
                if b"PRIVATE" in content:
                    return f"{path.name} holds what a link in the run leads to"
        return _nothing_outside(world)

    return look


def cards() -> Iterator[Case]:
    """Cards of a stranger's run."""
    card = ["card", RUN, "--out", "card"]
    for file in ("metrics.jsonl", "readings.jsonl", "spectra.jsonl", "landscape/surface.json", "landscape/values-1.jsonl"):
        yield Case("a link out of a run", f"{file}, in a card", card, _all(_secret, _link(f"{RUN}/{file}", "{up}secret".format(up="../" * (3 + file.count("/"))))), check=_tells("card"))
    life = {"started": "x", "versions": {}, "command": ["repro"], "device": "cpu", "host": "h"}
    for name, change in {
        "a command of numbers": {"command": [1, 2, 3]},
        "a command of lists": {"command": [["a"]]},
        "versions of lists": {"versions": {"torch": ["\n---\n# x"]}},
        "a device of Markdown": {"device": "[x](http://evil) <script>alert(1)</script>\n---\n"},
        "a commit of Markdown": {"commit": "](javascript:alert(1))"},
        "a commit that is a list": {"commit": [1]},
        "parameters true": {"parameters": True},
        "parameters of 400 digits": {"parameters": 10**400},
    }.items():
        content = json.dumps([{**life, **change}])
        yield Case("a life of another form, in a card", name, card, _write(f"{RUN}/environment.json", content), check=_card_is_plain)
        yield Case("a life of another form, reported", name, ["report", RUN, "--out", "page"], _write(f"{RUN}/environment.json", content), check=_no_script)
    for push in ("", "x", "a/b/c", "../x", "a b/c", "-x/y", "a/" + "b" * 300, "https://huggingface.co/a/b", "a/b\n"):
        yield Case("a value for --push", repr(push[:20]), [*card, "--push", push], environment={"HF_TOKEN": "hf_x", "HF_ENDPOINT": "http://127.0.0.1:9"}, wanted=REFUSED)
    yield Case("a card", "no login", [*card, "--push", "a/b"], environment={"HF_TOKEN": "", "HF_HOME": "/nowhere"}, wanted=REFUSED)
    for out in ("small.yaml", "images", RUN, ".", "/proc/x", "/dev/null", "x" * 300):
        yield Case("places of a card", out[:20], ["card", RUN, "--out", out], wanted=REFUSED, check=_unharmed)
    yield Case("places of a card", "twice the same", card, wanted=HANDLED)
    for target in ("missing", "runs", "images", "nothing.yaml", HALF, "/dev/null"):
        yield Case("targets of a card", target, ["card", target, "--out", "card"], wanted=REFUSED)
    names = "{data: {name: '[x](http://evil)\\n---\\nlicense: x'}, model: {network: '<script>alert(1)</script>'}}"
    yield Case("a configuration of Markdown, in a card", "names", card, _write(f"{RUN}/config.yaml", names), check=_card_is_plain)


def _card_is_plain(world: World) -> str | None:
    card = world / "card/README.md"
    if not card.exists():
        return None
    text = card.read_text()
    shown = text.split("\n---\n", 1)[-1]  # what is above is YAML
    if re.search(r"(?<!\\)<script|(?<!\\)\]\((http|javascript)", shown):
        return "the card holds what a record says as Markdown"
    head = text.split("\n---\n")[0].removeprefix("---\n")
    return None if isinstance(yaml.safe_load(head), dict) else "the card's YAML is broken"


def _unharmed(world: World) -> str | None:
    for name in ("small.yaml", f"{RUN}/config.yaml", f"{RUN}/state.json", "images/train/a/0.png"):
        if not (world / name).is_file():
            return f"{name} is gone"
    return None


def _no_script(world: World) -> str | None:
    for path in (world / "page").rglob("*"):
        if path.suffix in (".html", ".svg", ".js", ".md"):
            text = path.read_text()
            for mark in ("<script>alert", "href=\"javascript", "<img src=x"):
                if mark in text and path.suffix != ".md":
                    return f"{path.name} holds {mark}"
    return None


def configurations() -> Iterator[Case]:
    """Configurations of runs that are reported: not checked, so that other versions' runs can be shown."""
    for name, content in {
        "data.name a list": "data: {name: [a]}",
        "data.name a mapping": "data: {name: {a: b}}",
        "network a list": "model: {network: [a]}",
        "network a number": "model: {network: 3}",
        "network null": "model: {network: null}",
        "network a mapping": "model: {network: {a: b}}",
        "a seed that is text": "seed: x",
        "a seed that is a list": "seed: [1]",
        "a seed over 64 bits": f"seed: {10**30}",
        "a seed that is NaN": "seed: .nan",
        "a name that is a list": "name: [1]",
        "a name of HTML": "name: '<script>alert(1)</script>'",
        "a network of HTML": "model: {network: '<img src=x onerror=alert(1)>'}",
        "epochs text": "trainer: {max_epochs: x}",
        "a date": "seed: 2020-01-01",
        "keys that are numbers": "1: 2\nmodel: {3: 4}",
        "keys that are tuples": "? [a, b]\n: 1\n",
        "values nested": "model: {arguments: {a: {b: {c: [1, {d: 2}]}}}}",
        "a rate of infinity": "training: {learning_rate: .inf}",
    }.items():
        for command in (["report", RUN, "--out", "page"], ["report", "runs", "--out", "page"], ["runs", "list"], ["runs", "show", RUN], ["study", "forecast", "runs"]):
            what = " ".join(map(str, command)).replace(RUN, "RUN").replace(" --out page", "")
            yield Case(f"config.yaml of another form: {what}", name, command, _write(f"{RUN}/config.yaml", content + "\n"), check=_no_script)


def manifests() -> Iterator[Case]:
    """A study's manifest in a stranger's folder."""
    def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[World], object]:
        def apply(world: World) -> None:
            path = world / STUDY / "manifest.json"
            content = json.loads(path.read_text())
            change(content)
            path.write_text(json.dumps(content))

        return apply

    script = "<script>alert(1)</script>"
    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        **{f"{key} a number": (lambda content, key=key: content.update({key: 3})) for key in ("title", "question", "paper", "artefact", "expected", "study", "preset", "command", "claims", "figures", "reductions", "paper_values", "paper_runs", "paper_shows")},
        **{f"{key} a list of numbers": (lambda content, key=key: content.update({key: [3]})) for key in ("title", "study", "claims", "figures", "reductions", "paper_values", "cells")},
        **{f"{key} null": (lambda content, key=key: content.update({key: None})) for key in ("title", "question", "claims", "figures", "reductions", "paper_values", "paper_runs", "command")},
        **{f"{key} of HTML": (lambda content, key=key: content.update({key: script})) for key in ("title", "question", "paper", "artefact", "expected", "study", "preset", "command")},
        "a study of 300 letters": lambda content: content.update(study="x" * 300),
        "a study that is a path": lambda content: content.update(study="../../../evil"),
        "labels of HTML": lambda content: [cell.update(label=script) for cell in content["cells"][:1]],
        "labels that are numbers": lambda content: [cell.update(label=3) for cell in content["cells"]],
        "labels that are lists": lambda content: [cell.update(label=[3]) for cell in content["cells"]],
        "labels null": lambda content: [cell.update(label=None) for cell in content["cells"]],
        "seeds text": lambda content: [cell.update(seed="x") for cell in content["cells"]],
        "seeds lists": lambda content: [cell.update(seed=[1]) for cell in content["cells"]],
        "seeds null": lambda content: [cell.update(seed=None) for cell in content["cells"]],
        "a claim of HTML": lambda content: content.update(claims=[f"0.1.test_accuracy > 1 | Table 1 {script} | x"]),
        "a claim that cannot be read": lambda content: content.update(claims=["9**9**9 !"]),
        "a claim of blanks": lambda content: content.update(claims=["0.1.test_accuracy" + " " * 100_000 + "x"]),
        "a claim of 10^6 letters": lambda content: content.update(claims=["<" * 10**6]),
        "a figure that is a path": lambda content: content.update(figures=["../../evil"]),
        "a paper value of NaN": lambda content: content.update(paper_values={"0.1": {"test_accuracy": "nan"}}),
        "a paper value over floats": lambda content: content.update(paper_values={"0.1": {"test_accuracy": "1e999"}}),
        "a paper value of HTML": lambda content: content.update(paper_values={script: {script: 3}}),
        "paper_runs -1": lambda content: content.update(paper_runs=-1, paper_values={"0.1": {"test_accuracy": "3 ± 1"}}),
        "10^5 cells": lambda content: content.update(cells=content["cells"] * 50_000),
        "a command for a shell": lambda content: content.update(command="repro report; touch PWNED"),
    }
    for name, change in changes.items():
        yield Case("a manifest of a stranger's", name, ["report", "runs", "--out", "page"], changed(change), check=_no_script)
    for name in ("labels of HTML", "a command for a shell", "title of HTML", "claims a list of numbers", "seeds lists"):
        def card(world: World, change: Callable[[dict[str, Any]], object] = changes[name]) -> None:
            changed(change)(world)
            (world / "cell").symlink_to(next((world / STUDY).glob("0.1-*")))

        yield Case("a manifest of a stranger's, a card of its run", name, ["card", "cell", "--out", "card"], card, check=_card_is_plain)


def states() -> Iterator[Case]:
    """States and metrics that no run of ours would have."""
    for name, final in {
        "accuracies over 1": {"train_accuracy": 3.0, "test_accuracy": 3.0},
        "negative accuracies": {"train_accuracy": -1.0, "test_accuracy": -1.0},
        "NaN": {"train_accuracy": "nan", "test_accuracy": "nan"},
        "infinite": {"train_accuracy": "inf", "test_accuracy": "-inf"},
        "1e308": {"train_accuracy": 1e308, "test_accuracy": -1e308},
        "names of HTML": {"<script>alert(1)</script>": 1.0},
        "other names": {"zzz": 1.0},
    }.items():
        def both(world: World, final: dict[str, Any] = final) -> None:
            for number, folder in enumerate(sorted((world / STUDY).glob("0.*-*"))):
                state = json.loads((folder / "state.json").read_text())
                changed = {key: value if number or isinstance(value, str) else -value for key, value in final.items()}
                (folder / "state.json").write_text(json.dumps({**state, "final": changed}))

        for command in (["study", "report", "small.yaml"], ["report", "runs", "--out", "page"], ["study", "status", "small.yaml"], ["study", "forecast", "runs"], ["runs", "list"]):
            yield Case(f"final numbers of another kind: {' '.join(command[:2])}", name, command, both, check=_no_script)
    line = '{"step": %s, "epoch": 0, "metrics": {"train/cross_entropy": %s}}\n'
    for name, lines in {
        "1e308 and -1e308": line % (1, 1e308) + line % (2, -1e308),
        "steps over 64 bits": line % (10**30, 1) + line % (1, 1),
        "negative steps": line % (-5, 1) + line % (-1, 1),
        "a step of 5,000 digits": line % ("9" * 5000, 1) + line % (1, 1),
        "infinite and minus infinite": line % (1, '"inf"') + line % (2, '"-inf"'),
        "a name of HTML": line.replace("train/cross_entropy", "<script>alert(1)</script>") % (1, 1),
        "names of 10^5 letters": line.replace("train/cross_entropy", "x" * 10**5) % (1, 1),
        "a key twice": '{"step": 1, "step": 2, "epoch": 0, "metrics": {"a": 1, "a": 2}}\n',
        "NaN as JSON lacks it": '{"step": 1, "epoch": 0, "metrics": {"a": NaN}}\n',
        "Windows' line ends": (line % (1, 1)).replace("\n", "\r\n") * 2,
        "a byte order mark": "\ufeff" + line % (1, 1),
        "NUL bytes between": line % (1, 1) + "\0" * 4096 + "\n" + line % (2, 1),
        "a step that goes back": line % (9, 1) + line % (1, 2) + line % (9, 3),
    }.items():
        yield Case("metrics of another kind, reported", name, ["report", RUN, "--out", "page"], _write(f"{RUN}/metrics.jsonl", lines), check=_no_script)
        yield Case("metrics of another kind, going on", name, [*FIT, "--seed", "1"], _write(f"{HALF}/metrics.jsonl", lines))


def jobs() -> Iterator[Case]:
    """`repro submit`, `repro doctor` and `repro sweep`."""
    submit = ["submit", "c.yaml", "--dry-run"]
    for flag, value in (
        *(("--time", text) for text in ("x", "-1", "0", "9" * 400, "1:2:3:4", "٣", "1_0", "nan", "inf", "", "\n")),
        *(("--mem", text) for text in ("x\n", "$(touch PWNED)", "-1", "", "64G;touch PWNED", "'")),
        *(("--partition", text) for text in ("a b", "a\nb", "$(touch PWNED)", "`touch PWNED`", "", "-x", "é", "\u202egpu")),
        *(("--gres", text) for text in ("gpu:a b", "\x00", "")),
        *(("--sbatch", text) for text in ("x", "--wrap=touch PWNED", "--output=/etc/x", "'", "--a\n--b", "--job-name=x\ntouch PWNED")),
        *(("--setup", text) for text in ("missing", "images", "small.yaml", "/dev/null")),
    ):
        yield Case(f"a value for {flag} of submit", repr(value[:20]), [*submit, f"{flag}={value}"], _config(), check=_nothing_outside)
    for name, content in {"NUL": b"module load\0x", "Latin-1": "é".encode("latin-1"), "exit": b"exit 0\n", "#SBATCH": b"#SBATCH --time=1\n", "an open quote": b"echo 'x\n", "a here document": b"cat <<EOF\n", "Windows' line ends": b"module load x\r\n", "a byte order mark": b"\xef\xbb\xbfmodule load x\n"}.items():
        yield Case("a --setup", name, [*submit, "--setup", "s.sh"], _all(_config(), _write("s.sh", content)))
    for name, files, setup in (
        ("the same file twice", ["c.yaml", "c.yaml"], _config()),
        ("two names of one run", ["c.yaml", "d.yaml"], _all(_config(), _config("d.yaml"))),
        ("a folder", ["images"], _config()),
        ("a study's file", ["small.yaml"], _config()),
        ("/dev/zero", ["/dev/zero"], _config()),
        ("a name like a flag", ["./-x.yaml"], _config("-x.yaml")),
        ("a name of a shell's", ["$(touch PWNED).yaml"], _config("$(touch PWNED).yaml")),
        ("a name with a line break", ["a\nb.yaml"], _config("a\nb.yaml")),
        ("an empty name", [""], _config()),
    ):
        yield Case("files of submit", name, ["submit", *files, "--dry-run"], setup, check=_nothing_outside)
    rehearse = ["doctor", "--rehearse", "--dry-run"]
    for flag, value in (
        *((flag, text) for flag in ("--step", "--wait") for text in ("nan", "inf", "-1", "0", "1e400", "x", "1e308", "٣")),
        *(("--events", text) for text in ("x", "", "preempt", "term")),
        *(("--preempt-by", text) for text in ("x", "--partition=$(touch PWNED)", "--a\nb", "'")),
        *(("--time", text) for text in ("1", "nan", "9" * 300, "0")),
        *(("--trainer.max_epochs", text) for text in ("10000000", "0")),
        *(("--trainer.devices", text) for text in ("0", "9" * 30, "1000000")),
        *(("--runs", text) for text in ("small.yaml", "a\nb", "/dev/null/x")),
    ):
        yield Case(f"a value for {flag} of a rehearsal", repr(value[:20]), [*rehearse, f"{flag}={value}"], check=_nothing_outside)
    for name, study in {
        "a name of a shell's": STUDY_FILE | {"name": "$(touch PWNED)"},
        "a name of spaces": STUDY_FILE | {"name": "a b"},
        "cells of HTML": STUDY_FILE | {"grid": {"x": {"<b>": {"seed": 1}, "${IFS}": {"seed": 2}}}, "claims": []},
        "10^4 seeds": STUDY_FILE | {"presets": {"cpu": {"seeds": list(range(10**4))}}},
        "no cells": STUDY_FILE | {"grid": {"training.learning_rate": []}, "claims": []},
        "arguments of mappings": STUDY_FILE | {"base": {**STUDY_FILE["base"], "model.network": "timm/resnet10t", "model.hidden": None, "model.arguments": {"a": {"b": "$(touch PWNED)"}}}},
    }.items():
        yield Case("a sweep", name, ["sweep", "s.yaml", "--out", "sweep"], _write("s.yaml", yaml.safe_dump(study)), check=_nothing_outside)
    for out in ("small.yaml", "/proc/x", "/dev/null", "x" * 300):
        yield Case("places of a sweep", out[:20], ["sweep", "small.yaml", "--out", out], wanted=REFUSED, check=_unharmed)


def _config(name: str = "c.yaml", **more: Any) -> Callable[[World], object]:
    base = {**STUDY_FILE["base"], "runs": "runs", **more}
    return _write(name, yaml.safe_dump(base))


def forecasts() -> Iterator[Case]:
    """`repro study forecast`."""
    for where in ("missing", "small.yaml", "images", RUN, "/dev/null", "/proc/self/fd"):
        yield Case("targets of a forecast", where, ["study", "forecast", where], wanted=REFUSED)

    def many(change: Callable[[int, dict[str, Any]], object]) -> Callable[[World], object]:
        reading = {"step": 0, "epochs": 0, "measurement": "weights", "layer": 1, "name": "a", "mode": "output"}

        def make(world: World) -> None:
            for number in range(12):
                target = world / f"many/study{number % 3}/run{number}"
                shutil.copytree(world / RUN, target)
                state = json.loads((target / "state.json").read_text())
                values: dict[str, Any] = {"condition_number": float(number + 1), "largest": 1.0, "smallest": 0.1}
                content = {"accuracy": float(number % 2), "values": values, "line": dict(reading)}
                change(number, content)
                (target / "state.json").write_text(json.dumps({**state, "final": {"train_accuracy": content["accuracy"]}}))
                (target / "readings.jsonl").write_text(json.dumps({**content["line"], "values": content["values"]}) + "\n")

        return make

    for name, change in {
        "as they are": _nothing,
        "accuracies of NaN": lambda _number, content: content.update(accuracy="nan"),
        "accuracies of 1e308": lambda number, content: content.update(accuracy=1e308 * (number % 2)),
        "accuracies infinite": lambda number, content: content.update(accuracy="inf" if number % 2 else 0.0),
        "readings infinite": lambda _number, content: content["values"].update(condition_number="inf"),
        "readings of NaN": lambda _number, content: content["values"].update(condition_number="nan"),
        "readings of 1e308": lambda number, content: content["values"].update(condition_number=1e308 if number % 3 else -1e308),
        "layers over 64 bits": lambda _number, content: content["line"].update(layer=10**30),
        "steps over 64 bits": lambda _number, content: content["line"].update(step=10**30),
        "names of HTML": lambda _number, content: content["line"].update(name="<script>alert(1)</script>", measurement="<b>"),
        "one of another form": lambda number, content: content["line"].update(layer="x" if number == 3 else 1),
    }.items():
        yield Case("runs of a forecast", name, ["study", "forecast", "many", "--out", "forecast"], many(change))
    yield Case("places of a forecast", "a file", ["study", "forecast", "many", "--out", "small.yaml"], many(_nothing), wanted=REFUSED)


def numbers() -> Iterator[Case]:
    """Numbers in other spellings, and the flags that came lately."""
    for flag, value in (
        *(("--model.skip_strength", text) for text in ("nan", "inf", "-0.1", "1.1", "1e-400", "true", "Learned", "none", "[1]", "٠")),
        *(("--training.optimizer", text) for text in ("Muon", "MUON", "lion", "", "muon ")),
        *(("--stop-when", text) for text in ("", "x", "9**9**9 < 1", "1 < 2", "nan < train_accuracy", "train_accuracy < nan", "train_accuracy < 1e999", "__import__('os').system('touch PWNED') < 1", "train_accuracy <" + " " * 50_000 + "x", "train_accuracy < 1 and " * 2_000 + "train_accuracy < 1", "train_accuracy < ١٢", "train_accuracy < 1_000", "train_accuracy<1", "train_accuracy < 1 or 1 < 2", "ｔrain_accuracy < 1", "train_accuracy\u00a0< 1", "train_accuracy < 0x10")),
        *(("--log.also", text) for text in ("nothing", "csv,csv", ",,", "csv;tensorboard", "[csv]", "CSV", " csv ", "csv,../x", "mlflow")),
        *(("--seed", text) for text in ("1_000", "0x10", "0o7", "1e0", "٣", "+3", " 3", "3.0", "true", ".nan", "２")),
        *(("--training.learning_rate", text) for text in ("1_0", "٠.١", "true", "1e-400", "0.1f", ".1", "1.", "1,5", "0x1p-3")),
        *(("--trainer.max_epochs", text) for text in ("true", "1_0", "1.0", "1e1", "99999999999", "-1", "null")),
        *(("--log.every_n_steps", text) for text in ("true", "-1", "0", "9" * 30)),
        *(("--measure.spectra", text) for text in ("yes", "1", "TRUE", "on", "null", "maybe")),
        *(("--name", text) for text in ("CON", "a\u202eb", "ﬁ", "a" * 151, "é" * 76, "a\u200bb", "~", "$HOME", "*", "a%2f..")),
    ):
        yield Case(f"a value for {flag}, lately", repr(value[:30]), [*NEW, f"{flag}={value}"], check=_nothing_outside)
    for key in ("data.seed", "model.skip_seed", "data.evaluation_batch_size", "data.workers", "training.warmup_steps", "trainer.checkpoint_every_n_epochs", "trainer.checkpoint_every_n_steps", "trainer.keep_checkpoints", "trainer.evaluate_every_n_epochs", "measure.every_n_epochs", "log.every_n_steps", "trainer.num_nodes", "data.validation_size", "data.test_size", "model.skip_neurons"):
        for value in (2**62, 10**30):
            yield Case("a number that nobody takes", f"{key} {value:.0e}", [*NEW, "--measure.measurements", "[weights]", "--measure.probe_size", "16", f"--{key}={value}"])
    for key, value in (("data.seed", "-1"), ("trainer.checkpoint_every_n_minutes", "1e308"), ("trainer.checkpoint_every_n_minutes", "1e-300"), ("training.weight_decay", "1e308"), ("training.spectral_penalty", "1e308"), ("training.clip_gradients", "1e308"), ("training.clip_gradients", "1e-320"), ("training.learning_rate", "1e308"), ("training.factor", "1e308"), ("training.warmup_learning_rate", "1e308"), ("model.gamma", "1e308"), ("training.max_steps", "1"), ("trainer.max_epochs", "1000000")):
        more = ["--training.max_steps", "3"] if key == "trainer.max_epochs" else []
        yield Case("a number that nobody takes", f"{key} {value}", [*NEW, f"--{key}={value}", *more])
    for name, more in {
        "a flag twice": ["--seed", "1", "--seed", "2"],
        "a flag without a value": ["--seed"],
        "two names of one flag": ["--stop-when", "train_accuracy < 0", "--training.stop_when", "train_accuracy > 0"],
        "muon and output": ["--training.optimizer", "muon", "--model.train", "output", "--model.skip_neurons", "5"],
        "muon and exact": ["--training.optimizer", "muon", "--model.solver", "exact", "--model.train", "output"],
        "a strength of a network without skips": ["--model.skip_strength", "0.5"],
        "exact and a rule": ["--model.solver", "exact", "--model.train", "output", "--stop-when", "train_accuracy < 1"],
        "help in the middle": ["--help", "--nothing"],
        "two dashes": ["--", "--seed", "3"],
        "an abbreviation": ["--see", "3"],
        "a look-alike dash": ["–seed", "3"],
        "100,000 letters": ["--name", "x" * 100_000],
        "10,000 flags": ["--seed", "1"] * 5_000,
    }.items():
        yield Case("flags that do not go together", name, [*FIT, "--seed", "9", *more])



def archives() -> Iterator[Case]:
    """Prepared data that a stranger hands over."""
    def tarred(name: str, change: Callable[[tarfile.TarInfo], object], content: bytes = b"") -> Callable[[World], object]:
        def make(world: World) -> None:
            import io

            with tarfile.open(world / "x.tar", "w") as archive:
                archive.add(world / "images", ".")
                info = tarfile.TarInfo(name)
                info.size = len(content)
                change(info)
                archive.addfile(info, io.BytesIO(content) if info.isreg() else None)

        return make

    def kind(of: bytes, target: str = "") -> Callable[[tarfile.TarInfo], object]:
        def change(info: tarfile.TarInfo) -> None:
            info.type, info.linkname = of, target

        return change

    prepare = ["data", "prepare", "ImageFolder", "--root", "new", "--from", "x.tar"]
    for name, setup in {
        "as it is": tarred("train/a/y.txt", _nothing, b"x"),
        "a path outside": tarred("../../evil.png", _nothing, b"x"),
        "an absolute path": tarred("/tmp/evil-breaks.png", _nothing, b"x"),
        "a link outside": tarred("train/a/link.png", kind(tarfile.SYMTYPE, "../../../../secret")),
        "a folder that is a link": tarred("train/c", kind(tarfile.SYMTYPE, "/etc")),
        "a hard link outside": tarred("train/a/hard.png", kind(tarfile.LNKTYPE, "../../secret")),
        "a pipe": tarred("train/a/pipe.png", kind(tarfile.FIFOTYPE)),
        "a device": tarred("train/a/null.png", kind(tarfile.CHRTYPE)),
        "a name with a line break": tarred("train/a/x\ny.png", _nothing, b"x"),
        "a name of 300 letters": tarred("train/a/" + "x" * 300 + ".png", _nothing, b"x"),
        "no tar": _write("x.tar", b"x" * 1000),
    }.items():
        yield Case("a tar", name, prepare, _all(_secret, setup), check=_nothing_outside)

    def zipped_link(world: World) -> None:
        with zipfile.ZipFile(world / "x.zip", "w") as archive:
            for path in (world / "images").rglob("*.png"):
                archive.write(path, path.relative_to(world / "images"))
            info = zipfile.ZipInfo("train/a/link.png")
            info.external_attr = 0o120777 << 16
            archive.writestr(info, "../../../../secret")

    yield Case("an archive, lately", "a link in a zip", [*prepare[:-1], "x.zip"], _all(_secret, zipped_link), check=_nothing_outside)
    for name, link in {"out of the folder": "../../../secret", "a ring": "loop.png", "to /dev/zero": "/dev/zero", "to a folder": "../b"}.items():
        yield Case("links among images", name, ["data", "check", "ImageFolder", "--root", "images"], _all(_secret, _link("images/train/a/loop.png", link)))
    yield Case("links among images", "a class that is a ring", ["data", "check", "ImageFolder", "--root", "images"], _link("images/train/c", "."))
    yield Case("links among images", "measured in a ring", ["measure", "timm/resnet10t", "--images", "images/train", "--probe-size", "4"], _link("images/train/a/up", ".."))
    yield Case("links among images", "a folder called x.png, measured", ["measure", "timm/resnet10t", "--images", "images/train", "--probe-size", "99"], lambda world: (world / "images/train/a/x.png").mkdir())


def _python(*options: str) -> None:
    """The same command in a Python of its own."""
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    os.execve(sys.executable, [sys.executable, *options, "-m", "repro", *sys.argv[1:]], environment)


def _without(*numbers: int) -> None:
    for number in numbers:
        os.close(number)
    _python()


def _to(path: str) -> None:
    os.dup2(os.open(path, os.O_WRONLY), 1)
    _python()


_COMMANDS: dict[str, list[Any]] = {
    "fit": NEW,
    "going on": [*FIT, "--seed", "1"],
    "report": ["report", "runs", "--out", "page"],
    "card": ["card", RUN, "--out", "card"],
    "sweep": ["sweep", "small.yaml", "--out", "sweep"],
    "measure": ["measure", RUN, "--probe-size", "16"],
}


def _to_a_reader_that_leaves() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    os.dup2(theirs, 1)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    _python()


def pythons() -> Iterator[Case]:
    """Other ways to start Python, and other streams."""
    commands: dict[str, list[Any]] = {
        **_COMMANDS,
        "spectra": ["spectra", RUN, "--out", "spectra"],
        "help": ["fit", "--help"],
    }
    for name, command in commands.items():
        for what, options in {"-OO": ["-OO"], "-W error": ["-W", "error"], "-X utf8=0": ["-X", "utf8=0"]}.items():
            if "utf8" in what and name not in ("spectra", "help", "report"):
                continue
            environment = {"LC_ALL": "POSIX"} if "utf8" in what else {}
            yield Case(f"python {what}", name, command, _spectra({}, {"layer": 2}), before=partial(_python, *options), environment=environment, wanted=HANDLED)
    for name in ("report", "spectra", "help", "measure"):
        yield Case("no standard output, lately", name, commands[name], _spectra({}), before=partial(_without, 1))
        yield Case("no standard error, lately", name, commands[name], _spectra({}), before=partial(_without, 2), wanted=HANDLED)
        yield Case("no streams at all", name, commands[name], _spectra({}), before=partial(_without, 0, 1, 2), wanted=HANDLED)
        yield Case("a full standard output", name, commands[name], _spectra({}), before=partial(_to, "/dev/full"))
        yield Case("a reader that leaves", name, commands[name], _spectra({}), before=_to_a_reader_that_leaves)
    for variable, value in (("HOME", "/nowhere"), ("TMPDIR", "/nowhere"), ("LANG", "xx_YY.nothing"), ("TERM", "dumb"), ("MPLCONFIGDIR", "/dev/null/x"), ("TZ", "Nowhere/Else"), ("PYTHONHASHSEED", "7"), ("COLUMNS", "-5"), ("LINES", "0"), ("MPLBACKEND", "nothing")):
        for name in ("report",):
            yield Case(f"the variable {variable}, lately", name, commands[name], environment={variable: value}, before=_python, wanted=HANDLED)


def _twin() -> None:
    """The same command beside it, begun at once."""
    if not os.fork():
        for number in (1, 2):
            os.dup2(os.open(f"twin{number}", os.O_WRONLY | os.O_CREAT), number)


def _no_traceback(world: World) -> str | None:
    time.sleep(1)
    for number in (1, 2):
        with contextlib.suppress(FileNotFoundError):
            if "Traceback" in (text := (world / f"twin{number}").read_text()):
                return text[-300:]
    return None


def twins() -> Iterator[Case]:
    """Two of one command at once, and a signal at an odd moment."""
    commands: dict[str, list[Any]] = {
        **_COMMANDS,
        "study run": ["study", "run", "small.yaml", "--seed", "3", "--jobs", "1"],
        "landscape": ["landscape", RUN, "--points", "3"],
        "keep": ["study", "keep", "small.yaml"],
        "clean": ["runs", "clean", "--delete", "--keep", "0"],
    }
    for name, command in commands.items():
        yield Case("two at once", name, command, before=_twin, check=_no_traceback)
        for seconds in (0.05, 0.5, 2.0):
            yield Case("a signal at an odd moment", f"{name}, {seconds:g} s", command, kill_after=seconds, check=_readable_after)


def _readable_after(world: World) -> str | None:
    for name in (RUN, HALF):
        json.loads((world / name / "state.json").read_text())
        if name == HALF and not list((world / name / "checkpoints").glob("step-*.ckpt")):
            return f"{name} has lost its checkpoint"
    return None


KINDS = (spectra, no_files, cards, configurations, manifests, states, jobs, forecasts, numbers, archives, pythons, twins)


def table() -> list[Case]:
    """All of them."""
    return [case for kind in KINDS for case in kind()]
