"""The records of a run, kept for good: small, without checkpoints, without what names the machine."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from repro.config import read_yaml
from repro.errors import Damaged, UserError, first_line, no_pipe, refusing
from repro.records.files import parse_json, read_whole, replace_files, stored
from repro.records.run_directory import RunDirectory
from repro.records.spectrum import FILE
from repro.records.surface import PLAN, SURFACE


def keep(run: RunDirectory, target: Path) -> int:
    """Copy a run's records, compressed, and return the bytes: `RunDirectory` reads the copy like the run.

    The host's name, paths and W&B's id are left out. An earlier copy is replaced when all of the new one is written.

    Raises:
        Damaged: A record cannot be read, or is a link out of the run.
        UserError: The copy cannot be written.
    """
    with _reading(run):
        contents = {target / name: content for name, content in _kept(run).items()}
    with refusing(f"cannot write '{target}'"):
        for path in contents:
            path.parent.mkdir(parents=True, exist_ok=True)
        replace_files(contents, lasting=True)
        if target.resolve() != run.path.resolve():
            for path in contents:
                if path.suffix == ".gz":  # older versions did not compress all of them
                    path.with_suffix("").unlink(missing_ok=True)
        return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


@contextmanager
def _reading(run: RunDirectory) -> Iterator[None]:
    """Whatever cannot be read of a run is `Damaged`."""
    try:
        yield
    except UserError as error:
        raise Damaged(str(error)) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise Damaged(f"'{run.path}' cannot be copied ({first_line(error)}); restore it, or move it away") from error


def _kept(run: RunDirectory) -> dict[str, bytes]:
    """The files of a copy by name, the state last."""
    files: dict[str, bytes] = {}
    configuration = read_yaml(_own(run, "config.yaml"))
    configuration["runs"], configuration["data"]["root"] = "runs", "data"
    files["config.yaml"] = yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True).encode()
    _own(run, "environment.json")
    files["environment.json"] = _json([_anonymous(life) for life in run.lives])
    for name in ("metrics.jsonl", "readings.jsonl", FILE):
        if (path := stored(run.path / name)).exists():
            content = _own(run, path.name).read_bytes()
            files[f"{name}.gz"] = content if path.suffix == ".gz" else gzip.compress(content, mtime=0)
    if (surface := run.path / SURFACE).is_dir():
        for path in [surface / PLAN, *sorted(surface.glob("values-*.jsonl"))]:
            name = f"{SURFACE}/{path.name}"
            files[name] = _own(run, name).read_bytes()
    state = parse_json(read_whole(_own(run, "state.json")))
    of_wandb = ("wandb_id", "wandb_live", "wandb", "mlflow_run_id")
    files["state.json"] = _json({key: value for key, value in state.items() if key not in of_wandb})
    return files


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _own(run: RunDirectory, name: str) -> Path:
    """A record's path, unless it leads out of the run: what is kept is published, and the run may be a stranger's."""
    path = no_pipe(run.path / name)
    if not path.resolve().is_relative_to(run.path.resolve()):
        raise Damaged(f"'{path}' is a link out of the run, and is not copied; put the record itself there")
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
