"""Inputs of `benchmarks/breaks.py` from strangers' files, odd environments and SLURM commands that answer otherwise."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
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
    _checkpoint,
    _ordinary,
    _write,
)
from breaks_lately import NEW, _config, _no_script, _nothing_outside, _python, _to, _to_a_reader_that_leaves

REPORT = ["report", "runs", "--out", "page"]
GOES_ON = [*FIT, "--seed", "1"]


def _both(*checks: Callable[[World], str | None]) -> Callable[[World], str | None]:
    return lambda world: next(filter(None, (check(world) for check in checks)), None)


def _others(world: World) -> str | None:
    """The page has the study and the other run."""
    if not (page := world / "page/tables.md").exists():
        return "one record hides all others"
    text = page.read_text()
    return None if "finished" in text and ("0.01" in text or "Runs in single" in text) else "one record hides others"


def one_of_several() -> Iterator[Case]:
    """One record that cannot be read, beside others."""
    manifest, state = _write(f"{STUDY}/manifest.json", "{"), _write(f"{RUN}/state.json", "[1]")
    yield Case("one bad record of several", "a manifest, reported", REPORT, manifest, says="manifest.json'", check=_others)
    yield Case("one bad record of several", "a manifest, a card", ["card", f"{STUDY}/cell", "--out", "card"], _all(manifest, lambda world: (world / STUDY / "cell").symlink_to(next((world / STUDY).glob("0.1-*")).name)), says="manifest.json'")
    yield Case("one bad record of several", "a manifest, synchronised", ["wandb-sync", "runs", "--dry-run"], manifest, says="manifest.json'")
    for name, command in {
        "compared": ["runs", "compare", "runs"],
        "cleaned": ["runs", "clean", "--delete"],
        "synchronised": ["wandb-sync", "runs", "--dry-run"],
        "a forecast": ["study", "forecast", "runs"],
    }.items():
        yield Case("one bad record of several", f"a state, {name}", command, state, says="state.json'")
    cell = lambda world: [(path / "state.json").write_text("[1]") for path in (world / STUDY).glob("0.1-*")]  # noqa: E731
    for action in ("plan", "status", "report", "keep", "run"):
        yield Case("one bad record of several", f"a cell's, study {action}", ["study", action, "small.yaml", *(["--jobs", "1", "--seed", "0", "3"] if action == "run" else [])], cell, says="state.json'")
    for name, make in {
        "no state": lambda world: (world / RUN / "state.json").unlink(),
        "a state that is a folder": lambda world: [(world / RUN / "state.json").unlink(), (world / RUN / "state.json").mkdir()],
    }.items():
        for command in (REPORT, ["runs", "list"]):
            yield Case("one bad record of several", f"{name}, {command[0]}", command, make, says="no state.json")
    for file in ("environment.json", "metrics.jsonl", "config.yaml", "state.json"):
        yield Case("one bad record of several", f"{file} without permission", REPORT, lambda world, file=file: (world / RUN / file).chmod(0), before=_ordinary, check=_others)
    yield Case("one bad record of several", "the study's queue", ["study", "submit", "small.yaml", "--seed", "5"], _all(_write(f"{STUDY}/submitted.jsonl", '{"x": 1}\n'), _stub("squeue", "echo"), _stub("sbatch", "echo 7")), environment={"PATH": "{world}/bin"}, before=_world_path)


def _sparse(name: str, size: int) -> Callable[[World], object]:
    def make(world: World) -> None:
        path = world / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.truncate(path, size)

    return make


def _zeros(name: str, line: bytes, count: int) -> Callable[[World], object]:
    def make(world: World) -> None:
        (world / name).with_suffix("").unlink(missing_ok=True)
        with gzip.open(world / name, "wb", 1) as file:
            for _ in range(count):
                file.write(line * 2**20)

    return make


def sizes() -> Iterator[Case]:
    """Records that are larger than memory."""
    for file in ("state.json", "environment.json", "metrics.jsonl", "readings.jsonl", "config.yaml", "spectra.jsonl", "lock", "landscape/surface.json"):
        yield Case("a record of 40 GB", file, REPORT, _sparse(f"{RUN}/{file}", 40 * 10**9), check=_others)
    for name, line in {"one line": b"\0", "blank lines": b"\n"}.items():
        yield Case("a record that unpacks to GB", name, REPORT, _zeros(f"{RUN}/readings.jsonl.gz", line, 8000 if line == b"\0" else 2000), check=_others)
    yield Case("a record of 40 GB", "the manifest", REPORT, _sparse(f"{STUDY}/manifest.json", 40 * 10**9), check=_others)
    yield Case("a record of 40 GB", "an image", ["data", "check", "ImageFolder", "--root", "images"], _sparse("images/train/a/x.png", 40 * 10**9))
    yield Case("a record of 40 GB", "a checkpoint", ["test", RUN], lambda world: os.truncate(sorted((world / RUN / "checkpoints").glob("step-*"))[-1], 40 * 10**9))
    yield Case("a record of 40 GB", "a configuration", ["fit", "--config", "c.yaml"], _sparse("c.yaml", 40 * 10**9), wanted=REFUSED)
    yield Case("a record of 40 GB", "--setup", ["submit", "c.yaml", "--setup", "s.sh", "--dry-run"], _all(_config(), _sparse("s.sh", 40 * 10**9)), wanted=REFUSED)


def surfaces() -> Iterator[Case]:
    """Loss surfaces of a stranger's."""
    plan: dict[str, Any] = {"points": 3, "radius": 1.0, "directions": "random", "samples": 500}
    values = "".join(json.dumps({"point": point, "loss": 1.0 + point, "errors": 0.5}) + "\n" for point in range(9))
    for name, change, lines in (
        *((f"radius {value}", {"radius": value}, values) for value in (0, -1, 1e308, 1e-320, 10**400)),
        *((f"radius {value}", {"radius": float(value)}, values) for value in ("nan", "inf")),
        *((f"path {str(value)[:20]}", {"path": value}, values) for value in ("x", [1], [["a", "b"]], {"a": 1}, 3, [[1, 2], [3]], [[float("nan"), 1]], [[10**400, 1]])),
        *((f"directions {value[:12]}", {"directions": value}, values) for value in ("$\\frac{", "<script>alert(1)</script>", "x" * 10**5, "\x1b[31m")),
        *((f"samples {value}", {"samples": value}, values) for value in (0, -1)),
        *((f"losses {value}", {}, values.replace("1.0,", f"{value},")) for value in ("-1.0", "0.0", "1e308", '"nan"', '"inf"', "NaN", '"1_0"')),
        ("a point of 400 digits", {}, values + '{"point": ' + "9" * 400 + ', "loss": 1, "errors": 0}\n'),
        ("a point -1", {}, values + '{"point": -1, "loss": 1, "errors": 0}\n'),
    ):
        both = _all(_write(f"{RUN}/landscape/surface.json", json.dumps({**plan, **change})), _write(f"{RUN}/landscape/values-1of1.jsonl", lines))
        yield Case("a stranger's surface", name, REPORT, both, check=_both(_others, _no_script))


def checkpoints() -> Iterator[Case]:
    """Weights of other kinds."""
    def of_weights(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[World], object]:
        def all_of_them(content: dict[str, Any]) -> None:
            content["state_dict"] = {key: change(value) if value.is_floating_point() else value for key, value in content["state_dict"].items()}

        return all_of_them_in(all_of_them)

    def all_of_them_in(change: Callable[[dict[str, Any]], object]) -> Callable[[World], object]:
        def apply(world: World) -> None:
            for run in (RUN, HALF):
                _checkpoint(change)(world, run)

        return apply

    changes = {
        "integers": of_weights(lambda value: value.long()),
        "half precision": of_weights(lambda value: value.half()),
        "double precision": of_weights(lambda value: value.double()),
        "complex numbers": of_weights(lambda value: value.to(torch.complex64)),
        "booleans": of_weights(lambda value: value.bool()),
        "sparse": of_weights(lambda value: value.to_sparse() if value.dim() else value),
        "on no device": of_weights(lambda value: value.to("meta")),
        "expanded from one number": of_weights(lambda value: value.flatten()[:1].expand(value.numel()).reshape(value.shape) if value.numel() else value),
        "weights that are texts": all_of_them_in(lambda content: content.update(state_dict=dict.fromkeys(content["state_dict"], "x"))),
        "keys that are numbers": all_of_them_in(lambda content: content.update(state_dict=dict(enumerate(content["state_dict"].values())))),
        "callbacks a list": all_of_them_in(lambda content: content.update(callbacks=[1])),
        "an epoch over 64 bits": all_of_them_in(lambda content: content.update(epoch=10**30)),
        "a negative step": all_of_them_in(lambda content: content.update(global_step=-5)),
        "a step of NaN": all_of_them_in(lambda content: content.update(global_step=float("nan"))),
    }
    for name, change in changes.items():
        wanted = REFUSED if name in ("integers", "half precision", "double precision", "complex numbers", "booleans") else ()
        yield Case("weights of another kind, going on", name, GOES_ON, change, wanted=wanted)
        yield Case("weights of another kind, tested", name, ["test", RUN], change, wanted=wanted)

    def bomb(world: World) -> None:
        path = sorted((world / RUN / "checkpoints").glob("step-*"))[-1]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("archive/data.pkl", "w", force_zip64=True) as file:
                for _ in range(8000):
                    file.write(bytes(2**20))
            archive.writestr("archive/version", "3")

    yield Case("weights of another kind, tested", "a zip that unpacks to 8 GB", ["test", RUN], bomb)

    def folder(run: str) -> Callable[[World], object]:
        return lambda world: (world / run / "checkpoints/step-99999999.ckpt").mkdir()

    for name, command, run in (("going on", GOES_ON, HALF), ("tested", ["test", RUN], RUN), ("cleaned", ["runs", "clean", "--delete", "--keep", "0"], RUN), ("a card", ["card", RUN, "--out", "card"], RUN)):
        yield Case("a folder called as a checkpoint", name, command, folder(run))
    for name, header in {
        "a header of 2^62 bytes": (2**62).to_bytes(8, "little") + b"{}",
        "a header that is a list": (2).to_bytes(8, "little") + b"[]",
        "offsets beyond its end": (lambda text: len(text).to_bytes(8, "little") + text)(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'),
        "a shape of 2^60": (lambda text: len(text).to_bytes(8, "little") + text)(b'{"a":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,0]}}'),
        "an epoch of 5,000 digits": (lambda text: len(text).to_bytes(8, "little") + text)(b'{"__metadata__":{"epoch":"' + b"9" * 5000 + b'"}}'),
        "no weights": (2).to_bytes(8, "little") + b"{}",
    }.items():
        def card(world: World, content: bytes = header) -> None:
            shutil.copytree(world / RUN, world / "card", ignore=shutil.ignore_patterns("checkpoints"))
            (world / "card/model.safetensors").write_bytes(content)

        yield Case("safetensors of a stranger's", name, ["test", "card"], card, wanted=REFUSED)


def _stub(name: str, script: str) -> Callable[[World], object]:
    def make(world: World) -> None:
        path = world / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return make


def _world_path() -> None:
    os.environ["PATH"] = f"{Path.cwd()}/bin:/usr/bin:/bin"
    from repro.cluster import slurm
    from repro.runs import requeue

    slurm.PATIENCE_SECONDS, requeue._PATIENCE_SECONDS = 3, 3


def queues() -> Iterator[Case]:
    """SLURM's commands that answer otherwise than SLURM's."""
    submit = ["submit", "c.yaml", "--gres", "none"]
    answers = {
        "nothing": "true",
        "blank lines": "echo; echo",
        "other words": "echo Auftrag 7 eingereicht",
        "bytes that are no text": r"printf '\377\376\200'",
        "a greeting before the number": "echo Welcome to the cluster; echo 123",
        "the usual sentence": "echo Submitted batch job 123",
        "a number that is none": "echo -5",
        "a refusal in another language": "echo 'sbatch: Fehler: Stapelverarbeitung fehlgeschlagen: Ungültige Partition' >&2; exit 1",
        "a refusal of bytes": r"printf '\377\033[31mx' >&2; exit 1",
        "a refusal without a word": "exit 1",
        "a late answer": "sleep 30; echo 7",
        "10 MB": "head -c 10000000 /dev/zero | tr '\\0' x",
        "killed": "kill -9 $$",
    }
    quiet = _all(_config(), _stub("squeue", "true"), _stub("scontrol", "true"))
    for name, script in answers.items():
        good = HANDLED if name in ("a greeting before the number", "the usual sentence") else ("refused", "stopped")
        yield Case("an answer of sbatch", name, submit, _all(quiet, _stub("sbatch", script)), before=_world_path, wanted=good, check=_numbers)
    for name, script in {"no program": "#!/nowhere/sh\n", "no script at all": "#!\x00"}.items():
        yield Case("an answer of sbatch", name, submit, _all(quiet, _stub("sbatch", script)), before=_world_path)
    yield Case("an answer of sbatch", "not executable", submit, _all(quiet, _stub("sbatch", "echo 7"), lambda world: (world / "bin/sbatch").chmod(0o644)), before=_world_path)
    earlier = _write("runs/c/submitted.jsonl", '{"job": "7", "submitted": "x", "runs": {"N/A": "c"}}\n')
    for name, script in {name: answers[name] for name in ("nothing", "bytes that are no text", "a refusal in another language", "a late answer", "other words")}.items():
        again = _all(quiet, _stub("sbatch", "echo 9"), earlier, _stub("squeue", script), _write(f"{STUDY}/submitted.jsonl", '{"job": "7", "submitted": "x", "runs": {"0": "0.1-seed5"}}\n'))
        yield Case("an answer of squeue", name, ["study", "submit", "small.yaml", "--seed", "5", "--gres", "none"], again, before=_world_path)
    for name, script in {
        **{name: answers[name] for name in ("nothing", "bytes that are no text", "a refusal in another language", "a late answer")},
        "a preempted job without a state": "echo JobId=7 PreemptTime=2026-01-01T00:00:00",
        "a restart that is text": "echo JobId=7 PreemptTime=2026 JobState=COMPLETING Restarts=abc",
    }.items():
        environment = {"SLURM_JOB_ID": "7", "REPRO_RESUBMIT": "#!/bin/sh\ntouch PWNED"}
        yield Case("an answer of scontrol", name, [*NEW, "--trainer.max_epochs", "3000"], _stub("scontrol", script), environment=environment, before=_world_path, kill_after=8, check=_nothing_outside)
    for name, environment in {
        "an array without a task": {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7"},
        "a job that is text": {"SLURM_JOB_ID": "$(touch PWNED)"},
        "a restart over 64 bits": {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "9" * 40},
        "processors that are text": {"SLURM_CPUS_PER_TASK": "many"},
        "a node list that is none": {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "r[1-"},
        "a resubmission of bytes": {"SLURM_JOB_ID": "7", "REPRO_RESUBMIT": "\udcff"},
    }.items():
        yield Case("variables of SLURM's", name, [*NEW, "--trainer.max_epochs", "3000"], _stub("scontrol", "exit 1"), environment=environment, before=_world_path, kill_after=8, check=_nothing_outside)


def _numbers(world: World) -> str | None:
    """What is recorded as a job has a number."""
    for path in world.rglob("submitted.jsonl"):
        for line in path.read_text().splitlines():
            if not str(json.loads(line)["job"]).isdecimal():
                return f"job {json.loads(line)['job']!r:.60} is recorded"
    return None


def environments() -> Iterator[Case]:
    """Variables of the user's, of W&B's, of torch's."""
    offline = {"WANDB_MODE": "offline"}
    for name, value in (
        *(("WANDB_NAME", text) for text in ("a\nb", "\x1b[31m", "\udcff", "x" * 10**4, " ", "../x", "<script>")),
        *(("WANDB_NOTES", text) for text in ("\udcff", "x" * 10**5, "a\nb")),
        *(("WANDB_PROJECT", text) for text in ("a/b", "a#b?", "x" * 500, " ", "\udcff")),
        *(("WANDB_ENTITY", text) for text in ("a b", "../x")),
        *(("WANDB_TAGS", text) for text in (",,,", ",".join("abc" * 40), "x" * 200, "a\nb")),
        *(("WANDB_RUN_GROUP", text) for text in ("x" * 300, "\udcff")),
        *(("WANDB_DIR", text) for text in ("/dev/null/x", "/dev/null", "/proc", "~", "")),
        *(("WANDB_RUN_ID", text) for text in ("../x",)),
        *(("WANDB_DISABLED", text) for text in ("y", "false", "2")),
        *(("WANDB_MODE", text) for text in ("Offline", "onlin", "shared", "1")),
        *(("WANDB_SILENT", text) for text in ("x",)),
        *(("WANDB_CONSOLE", text) for text in ("nonsense",)),
        *(("WANDB_DATA_DIR", text) for text in ("/proc/x",)),
        *(("WANDB_CACHE_DIR", text) for text in ("/proc/x",)),
    ):
        says = f"{name} is" if name == "WANDB_MODE" and value != "Offline" else "W&B failed|WANDB_DIR" if value.startswith(("/dev", "/proc")) and name == "WANDB_DIR" else ""
        yield Case(f"the variable {name}, of strangers", repr(value[:16]), NEW, environment={**offline, name: value}, wanted=HANDLED, says=says)
    yield Case("an agent's variables", "a run that is a path", NEW, environment={**offline, "WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": "../../x"}, check=_nothing_outside)
    yield Case("an agent's variables", "a run of 300 letters", NEW, environment={**offline, "WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": "x" * 300})
    for name, more in {
        "MASTER_PORT": {"MASTER_PORT": "abc"},
        "MASTER_ADDR alone": {"MASTER_ADDR": "no such host"},
        "one of two ranks": {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"},
        "a rank over the size": {"RANK": "5", "WORLD_SIZE": "2", "LOCAL_RANK": "0"},
        "torchrun without ranks": {"TORCHELASTIC_RUN_ID": "x"},
        "NODE_RANK": {"NODE_RANK": "x"},
        "TORCH_HOME": {"TORCH_HOME": "/dev/null"},
        "XDG_CACHE_HOME": {"XDG_CACHE_HOME": "/dev/null/x"},
        "USER, LOGNAME": {"USER": "\x1b[31m", "LOGNAME": ""},
        "REPRO_TRUST": {"REPRO_TRUST": "os:system\n"},
        "PYTHONWARNINGS": {"PYTHONWARNINGS": "error"},
        "PYTHONOPTIMIZE": {"PYTHONOPTIMIZE": "2"},
        "an empty PATH": {"PATH": ""},
    }.items():
        yield Case("variables of the machine", name, NEW, environment=more)
    for name in ("HOME", "PATH", "USER", "LANG", "TERM", "SHELL"):
        for command in (NEW, REPORT):
            yield Case("a variable that is not there", f"{name}, {command[0]}", command, before=partial(os.environ.pop, name, None), wanted=HANDLED)


def terminals() -> Iterator[Case]:
    """File names that steer the terminal, or that no encoding has."""
    odd = {"ANSI": b"\x1b[31mred\x1b[A", "a line break": b"a\nb", "no UTF-8": b"\xff\xfe", "right to left": "\u202egnp".encode(), "a carriage return": b"a\rb", "300 dots": b"." * 200, "a formula": b"=1+1", "Markdown": b"](http:x)"}
    for name, content in odd.items():
        def image(world: World, content: bytes = content) -> None:
            shutil.copyfile(world / "images/train/a/0.png", world / "images/train/a" / (os.fsdecode(content) + ".png"))

        def label(world: World, content: bytes = content) -> None:
            for part in ("train", "val"):
                shutil.copytree(world / f"images/{part}/a", world / "images" / part / os.fsdecode(content))

        def other(world: World, content: bytes = content) -> None:
            (world / "images/train/a" / (os.fsdecode(content) + ".txt")).touch()

        def run(world: World, content: bytes = content) -> None:
            shutil.copytree(world / RUN, world / "runs/single" / os.fsdecode(content))

        def folder(world: World, content: bytes = content) -> None:
            shutil.copytree(world / STUDY, world / "runs" / os.fsdecode(content))

        for what, setup in {"an image": image, "a class": label, "another file": other}.items():
            yield Case("odd names among images, checked", f"{what}, {name}", ["data", "check", "ImageFolder", "--root", "images"], setup)
        yield Case("odd names among images, trained on", name, FOLDER, _all(label, other))
        yield Case("odd names among images, prepared", name, ["data", "prepare", "ImageFolder", "--root", "new", "--from", "images"], _all(label, other))
        yield Case("odd names of runs", f"{name}, reported", REPORT, _all(run, folder), check=_both(_no_script, _one_line_a_row))
        yield Case("odd names of runs", f"{name}, listed", ["runs", "list"], run)


def _one_line_a_row(world: World) -> str | None:
    for line in (world / "page/tables.md").read_text().splitlines():
        if line.startswith("|") != line.endswith("|"):
            return f"a table is broken: {line[:60]!r}"
    return None


def studies() -> Iterator[Case]:
    """Study files as careless people write them."""
    plan = ["study", "plan", "s.yaml"]
    text = yaml.safe_dump(STUDY_FILE)
    for name, content in {
        "Windows' line ends": text.replace("\n", "\r\n"),
        "old Macs' line ends": text.replace("\n", "\r"),
        "a byte order mark": "\ufeff" + text,
        "a NUL at the end": text + "\0",
        "merged mappings": "x: &x {a: 1}\n" + text,
        "a merge of a list": text + "adjust:\n- <<: [1]\n",
        "an anchor that is not there": text + "adjust: *nothing\n",
        "a tag": text.replace("title: T", "title: !title T"),
        "a binary tag": text.replace("title: T", "title: !!binary aGVsbG8="),
        "yes as a label": text.replace("training.learning_rate:", "x: {yes: {seed: 0}, no: {seed: 1}}\n  y:"),
        "a time as a seed": text.replace("- 0\n", "- 1:30\n"),
        "an octal seed": text.replace("- 0\n", "- 010\n"),
        "a seed with underscores": text.replace("- 0\n", "- 1_000\n"),
        "a key that looks alike": text.replace("grid:", "grıd:"),
        "a full-width key": text.replace("grid:", "ｇrid:"),
        "a label of a zero-width space": text.replace("training.learning_rate:", "x:\n    'a\u200b': {seed: 0}\n    a: {seed: 1}\n  z:"),
        "two labels that normalise alike": text.replace("training.learning_rate:", "x:\n    'e\u0301': {seed: 0}\n    'é': {seed: 1}\n  z:"),
        "labels that differ in case": text.replace("training.learning_rate:", "x:\n    A: {seed: 0}\n    a: {seed: 1}\n  z:"),
        "10^5 letters of a label": text.replace("0.1\n", "'" + "x" * 10**5 + "'\n", 1),
        "a directive": "%YAML 9.9\n---\n" + text,
        "the file is a link to itself": "",
        "half a character as an escape": text.replace("title: T", 'title: "\\ud800"'),
        "a title of 3 MB": text.replace("title: T", f"title: '{'T' * 3 * 10**6}'"),
        "an infinite value": text.replace("0.01", ".inf"),
        "a value of NaN": text.replace("0.01", ".nan"),
        "grid over the seed": text.replace("training.learning_rate", "seed"),
        "grid over a path": text.replace("training.learning_rate:", "data.root:\n  - /etc\n  - ../..\n  z:"),
        "a preset of a path": text.replace("cpu:", "../../x:"),
        "a preset called smoke": text.replace("cpu:", "smoke:"),
    }.items():
        setup = (lambda world: (world / "s.yaml").symlink_to("s.yaml")) if "link" in name else _write("s.yaml", content)
        yield Case("a careless study file", name, plan, setup, check=_nothing_outside)
    for claim in (
        "0.1.test_accuracy >= 90 >= 80 | Table 1 | x",
        "0.1.test_accuracy ≥ 90 | Table 1 | x",
        "0.1.test_accuracy => 90 | Table 1 | x",
        "0.1.test_accuracy = 90 | Table 1",
        "90 <= 0.1.test_accuracy <= 80 | Table 1",
        "nan <= 0.1.test_accuracy <= 80 | Table 1",
        "0.1.test_accuracy >= 1e400 | Table 1 | x",
        "0.1.test_accuracy >= ٣ | Table 1 | x",
        "0.1.test_accuracy >= 90% | Table 1 | x",
        "0.1.test_accuracy >= 9,5 | Table 1 | x",
        "0.1.test_accuracy >= 90 | | x",
        "0.1.test_accuracy >= 90 | Table 1 | x | y | z",
        "0.1.test_accuracy >= 90 | Tablecloth | x",
        "1 <= 2 | Table 1",
        "0.1.test_accuracy < 0.1.test_accuracy | Table 1",
        "0.1.test_accuracy\u00a0>= 90 | Table 1 | x",
        "0.1.test_accuracy >= -1 | Table 1 | x",
        "|||",
        "\x00",
        "0.1..test_accuracy >= 1 | Table 1 | x",
        "0.1.test_accuracy >=" + "(" * 10**5,
    ):
        changed = STUDY_FILE | {"claims": [claim]}
        yield Case("a careless claim", repr(claim)[:40], plan, _write("s.yaml", yaml.safe_dump(changed)))


def archives() -> Iterator[Case]:
    """Zips of a stranger's, once more."""
    prepare = ["data", "prepare", "ImageFolder", "--root", "new", "--from", "x.zip"]

    def zipped(*extra: tuple[str, bytes], zip64: bool = False, comment: bytes = b"") -> Callable[[World], object]:
        def make(world: World) -> None:
            with zipfile.ZipFile(world / "x.zip", "w") as archive:
                for path in (world / "images").rglob("*.png"):
                    with archive.open(str(path.relative_to(world / "images")), "w", force_zip64=zip64) as file:
                        file.write(path.read_bytes())
                for name, content in extra:
                    archive.writestr(name, content)
                archive.comment = comment

        return make

    def cut_in(name: str, to: str) -> Callable[[World], object]:
        """A member's name, patched in the archive."""
        def make(world: World) -> None:
            zipped((name, b"x"))(world)
            path = world / "x.zip"
            path.write_bytes(path.read_bytes().replace(name.encode(), to.encode()))

        return make

    for name, setup in {
        "zip64": zipped(zip64=True),
        "an absolute path": zipped(("/tmp/evil.png", b"x")),
        "a drive": zipped(("C:\\evil.png", b"x")),
        "backslashes": zipped(("..\\..\\evil.png", b"x")),
        "a name of NUL": cut_in("train/a/x0x.png", "train/a/x\0x.png"),
        "a name that steers the terminal": zipped(("train/a/\x1b[31m.txt", b"x")),
        "a name with a line break": zipped(("train/a/x\ny.png", b"x")),
        "a name of 300 letters": zipped(("train/a/" + "x" * 300 + ".png", b"x")),
        "a class called ..": zipped(("train/../a.png", b"x")),
        "a class called .": zipped(("train/./a.png", b"x")),
        "a class of blanks": zipped(("train/ /a.png", b"x")),
        "a file and a folder of one name": zipped(("train/a/0.png/x.png", b"x")),
        "30,000 members": zipped(*((f"other/{number}", b"") for number in range(30_000))),
        "a comment of 60 kB": zipped(comment=b"PK" * 30_000),
        "a tree three deep": zipped(("top/train/c/0.png", b"x")),
    }.items():
        yield Case("a zip of a stranger's", name, prepare, setup, check=_both(_nothing_outside, lambda _: "outside" if Path("/tmp/evil.png").exists() else None))


def records() -> Iterator[Case]:
    """Every field of a record of another kind."""
    odd: dict[str, Any] = {"null": None, "a number": 3, "NaN": float("nan"), "a list": [1], "a mapping": {"a": [1]}, "true": True, "half a character": "\ud800", "digits": 10**30, "HTML": "<script>alert(1)</script>", "TeX": "$\\frac{", "an escape": "\x1b[31m\n"}
    for key in ("status", "reason", "created", "wandb_id", "wandb", "code", "best", "solution", "goes_on_from", "extended_from", "seconds", "stop_seconds", "step", "epoch", "max_epochs"):
        for name, value in odd.items():
            def change(world: World, key: str = key, value: Any = value) -> None:
                for run in (RUN, HALF):
                    state = json.loads((world / run / "state.json").read_text())
                    (world / run / "state.json").write_text(json.dumps({**state, key: value}))

            if ((which := list(odd).index(name)) + len(key)) % 3:
                continue
            command = [REPORT, GOES_ON, ["runs", "show", RUN], ["wandb-sync", "runs", "--dry-run"], ["test", RUN]][which % 5]
            yield Case(f"a state's {key}", f"{name}, {command[0]}", command, change, check=_no_script if command is REPORT else None)
    for key in ("started", "versions", "command", "device", "host", "commit", "dirty", "slurm", "data", "parameters", "threads", "platform"):
        for name, value in odd.items():
            def life(world: World, key: str = key, value: Any = value) -> None:
                lives = json.loads((world / RUN / "environment.json").read_text())
                (world / RUN / "environment.json").write_text(json.dumps([{**lives[0], key: value}]))

            if ((which := list(odd).index(name)) + len(key)) % 3:
                continue
            command = [REPORT, ["runs", "show", RUN], ["wandb-sync", "runs", "--dry-run"], ["card", RUN, "--out", "card"]][which % 4]
            yield Case(f"a life's {key}", f"{name}, {command[0]}", command, life, check=_no_script if command is REPORT else None)


COMMANDS: dict[str, list[Any]] = {
    "runs list": ["runs", "list"],
    "runs compare": ["runs", "compare", "runs"],
    "study list": ["study", "list"],
    "study plan": ["study", "plan", "small.yaml"],
    "study status": ["study", "status", "small.yaml"],
    "study report": ["study", "report", "small.yaml"],
    "study keep": ["study", "keep", "small.yaml"],
    "theory": ["theory", "--list"],
    "data list": ["data", "list"],
    "data check": ["data", "check", "ImageFolder", "--root", "images"],
    "landscape": ["landscape", RUN, "--points", "3"],
    "test": ["test", RUN],
    "submit": ["submit", "c.yaml", "--dry-run"],
    "doctor": ["doctor", "c.yaml"],
}


def pythons() -> Iterator[Case]:
    """Other ways to start Python, of every other command."""
    for name, command in COMMANDS.items():
        for what, options in {"-OO": ["-OO"], "-W error": ["-W", "error"]}.items():
            yield Case(f"python {what}, every command", name, command, _config(), before=partial(_python, *options))
    for name in ("runs list", "study list", "study status", "data list", "submit"):
        yield Case("a full standard output, every command", name, COMMANDS[name], _config(), before=partial(_to, "/dev/full"), wanted=("stopped",))
        yield Case("a reader that leaves, every command", name, COMMANDS[name], _config(), before=_to_a_reader_that_leaves)


def _told(number: int, after: float) -> None:
    """A signal to this process itself, some time after its command began."""
    def send() -> None:
        time.sleep(after)
        os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()


def signals() -> Iterator[Case]:
    """Ctrl-C and SIGTERM in the middle, and the same command again."""
    commands: dict[str, list[Any]] = {
        "report": REPORT,
        "study run": ["study", "run", "small.yaml", "--seed", "3", "--jobs", "1"],
        "prepare": ["data", "prepare", "ImageFolder", "--root", "new", "--from", "images"],
        "theory": ["theory", "nguyen-tables", "--out", "theory"],
        "landscape": ["landscape", RUN, "--points", "9"],
        "keep": ["study", "keep", "small.yaml"],
        "card": ["card", RUN, "--out", "card"],
    }
    for name, command in commands.items():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            for after in (0.02, 0.4):
                yield Case(f"{signal.Signals(number).name} in the middle", f"{name}, {after:g} s", command, before=partial(_told, number, after), check=partial(_again, command))


def _again(command: list[Any], world: World) -> str | None:
    from breaks_inputs import _goes_on

    return _goes_on(command, world)


def _back(seconds: float) -> None:
    """A clock that is set back while the command runs, again and again."""
    real, state = time.time, [0]

    def now() -> float:
        state[0] += 1
        return real() - seconds * (state[0] // 7)

    time.time = now


def clocks() -> Iterator[Case]:
    """Clocks that jump back."""
    for name, command in {
        "fit": NEW,
        "going on": GOES_ON,
        "fit with a budget": [*NEW, "--budget", "5"],
        "report": REPORT,
        "study run": ["study", "run", "small.yaml", "--seed", "3", "--jobs", "1"],
        "study status": ["study", "status", "small.yaml"],
        "landscape": ["landscape", RUN, "--points", "3"],
    }.items():
        yield Case("a clock that jumps back", name, command, before=partial(_back, 3600.0), wanted=HANDLED)

    def runs_since_tomorrow(world: World) -> None:
        for run in (world / STUDY).glob("0.*-*"):
            lives = json.loads((run / "environment.json").read_text())
            lives[0]["started"] = "2999-01-01T00:00:00+00:00"
            (run / "environment.json").write_text(json.dumps(lives))
            state = json.loads((run / "state.json").read_text())
            (run / "state.json").write_text(json.dumps({**state, "status": "running"}))
            (run / "lock").write_text(json.dumps({"host": "elsewhere", "pid": 7, "token": "t"}))

    yield Case("a clock that jumps back", "a run that began tomorrow", ["study", "status", "small.yaml"], runs_since_tomorrow, says=r"^(?!.*-\d).*")


KINDS = (one_of_several, sizes, surfaces, checkpoints, queues, environments, terminals, studies, archives, records, pythons, signals, clocks)


def table() -> list[Case]:
    """All of them."""
    return [case for kind in KINDS for case in kind()]
