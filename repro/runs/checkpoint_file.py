"""Checkpoint files: written whole or not at all, told sound from damaged, refused if they are another run's."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from repro.config import Config, signature
from repro.distributed.processes import is_first_rank
from repro.errors import UserError
from repro.records import RunDirectory


class CheckpointFile(CheckpointIO):
    """How Lightning writes and reads the checkpoints of a run.

    The file is a zip archive, as torch writes it, whose entries carry CRC-32 checksums.

    Args:
        signature: What determines the run's result (`signature`).
    """

    def __init__(self, signature: str) -> None:
        self.signature = signature
        self.error: OSError | None = None
        """Why the last save failed; not raised, since the other ranks would wait for this one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:  # noqa: ARG002
        """Write under a temporary name, wait until it is on the disk, then rename. Keeps a failure in `error`."""
        self.error = None
        buffer = io.BytesIO()
        torch.save({**checkpoint, "signature": self.signature}, buffer)
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with temporary.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            self.error = error
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def load_checkpoint(self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True) -> Any:
        """Read, without running any code that the file might hold.

        Raises:
            UserError: The checkpoint is another run's.
        """
        content = torch.load(path, map_location=map_location or "cpu", weights_only=weights_only)
        refuse_foreign(content, self.signature, Path(path))
        return content

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)


def refuse_foreign(content: dict[str, Any], signature: str, path: Path) -> None:
    """Raise `UserError` if a checkpoint says that it belongs to another configuration; options it lacks are new."""
    theirs, ours = json.loads(content.get("signature", "{}")), json.loads(signature)
    different = [
        f"{key} is {theirs[key]} there and {ours[key]} here" for key in ours if theirs.get(key, ours[key]) != ours[key]
    ]
    if different:
        raise UserError(f"checkpoint '{path}' is another run's: {'; '.join(different)}; move it out of the way")


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint file, by its checksums; None if it is sound."""
    try:
        with zipfile.ZipFile(path) as archive:
            torn = archive.testzip()
        if torn is None:
            return None
    except (OSError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        return str(error) or type(error).__name__
    return f"checksum of {torn} differs"


def _say(text: str) -> None:
    if is_first_rank():
        print(f"repro: {text}", file=sys.stderr, flush=True)


def newest_sound(run: RunDirectory, *, say: Callable[[str], None] = _say) -> Path | None:
    """The newest checkpoint whose checksums hold; damaged ones are renamed (``….ckpt.damaged``), with a message."""
    passed = False
    for path in reversed(run.saved_checkpoints()):
        wrong = damage(path)
        if wrong is None:
            if passed:
                say(f"going on from {path.name}")
            return path
        passed = True
        say(f"checkpoint '{path}' is damaged ({wrong})")
        if is_first_rank():
            path.rename(path.with_name(f"{path.name}.damaged"))
    if passed:
        say("no checkpoint is sound: beginning anew")
    return None


def adopt(path: Path, folder: Path, config: Config) -> None:
    """Copy another run's checkpoint as one of this configuration's.

    Raises:
        OSError: It cannot be written.
        UserError: It cannot be read.
    """
    file = CheckpointFile(signature(config))
    file.save_checkpoint(load_weights(path), folder / path.name)
    if file.error is not None:
        raise file.error


def load_weights(path: Path) -> dict[str, Any]:
    """The content of a checkpoint.

    Raises:
        UserError: It cannot be read.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        content["state_dict"]
    except (OSError, RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"cannot use checkpoint '{path}': {reason}; name another, or train again") from error
    return dict(content)
