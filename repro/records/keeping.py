"""The records of a run, kept for good: small, without checkpoints, without what names the machine."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from repro.errors import UserError, no_pipe, refusing
from repro.records.run_directory import RunDirectory
from repro.records.spectrum import FILE
from repro.records.surface import PLAN, SURFACE


def keep(run: RunDirectory, target: Path) -> int:
    """Copy a run's records, readings compressed, and return the bytes: `RunDirectory` reads the copy like the run.

    The host's name, paths and W&B's id are left out.
    """
    with refusing(f"cannot write '{target}'"):
        target.mkdir(parents=True, exist_ok=True)
        configuration = yaml.safe_load(_own(run, "config.yaml").read_text(encoding="utf-8"))
        configuration["runs"], configuration["data"]["root"] = "runs", "data"
        (target / "config.yaml").write_text(yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True), "utf-8")
        _own(run, "environment.json")
        lives = [_anonymous(life) for life in run.lives]
        (target / "environment.json").write_text(json.dumps(lives, indent=1) + "\n", encoding="utf-8")
        state = json.loads(_own(run, "state.json").read_text(encoding="utf-8"))
        for name in ("wandb_id", "wandb_live", "wandb", "mlflow_run_id"):
            state.pop(name, None)
        (target / "state.json").write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
        if (run.path / "metrics.jsonl").exists():
            shutil.copyfile(_own(run, "metrics.jsonl"), target / "metrics.jsonl")
        for name in ("readings.jsonl", FILE):
            if (run.path / name).exists():
                (target / f"{name}.gz").write_bytes(gzip.compress(_own(run, name).read_bytes(), mtime=0))
        if (surface := run.path / SURFACE).is_dir():
            (target / SURFACE).mkdir(exist_ok=True)
            for path in [surface / PLAN, *sorted(surface.glob("values-*.jsonl"))]:
                shutil.copyfile(_own(run, f"{SURFACE}/{path.name}"), target / SURFACE / path.name)
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def _own(run: RunDirectory, name: str) -> Path:
    """A record's path, unless it leads out of the run: what is kept is published, and the run may be a stranger's."""
    path = no_pipe(run.path / name)
    if not path.resolve().is_relative_to(run.path.resolve()):
        raise UserError(f"'{path}' is a link out of the run, and is not copied; put the record itself there")
    return path


def _anonymous(life: dict[str, Any]) -> dict[str, Any]:
    command = ["repro", *life.get("command", [])[1:]]
    for index, argument in enumerate(command):
        for flag in ("--runs", "--data.root"):
            if argument == flag and index + 1 < len(command):
                command[index + 1] = "runs" if flag == "--runs" else "data"
            elif argument.startswith(f"{flag}="):
                command[index] = f"{flag}={'runs' if flag == '--runs' else 'data'}"
    return {**{key: value for key, value in life.items() if key != "host"}, "command": command}
