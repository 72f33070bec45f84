"""Checkpoint files: written whole or not at all, told sound from damaged, refused if they are another run's."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from torch import nn

from repro.config import Config, signature
from repro.distributed.processes import is_first_rank
from repro.errors import UserError, no_pipe, unlike
from repro.records import RunDirectory
from repro.runs.checkpoint_content import other_weights, read
from repro.text import say


class CheckpointFile(CheckpointIO):
    """How Lightning writes and reads the checkpoints of a run, which carry the `signature` of its result.

    The file is a zip archive, as torch writes it, whose entries carry CRC-32 checksums.
    """

    def __init__(self, signature: str) -> None:
        self.signature = signature
        self.module: nn.Module | None = None
        """The module that the checkpoint's weights have to fit."""
        self.error: OSError | None = None
        """Why the last save failed; not raised, since the other ranks would wait for this one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
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
        """Read a checkpoint without running any code that it might hold; `UserError` if it is another run's."""
        assert weights_only
        content = read(Path(path), map_location or "cpu")
        refuse_foreign(content, self.signature, Path(path))
        if self.module and (other := other_weights(content["state_dict"], self.module.state_dict())):
            raise UserError(f"checkpoint '{path}' is another network's: {other}; move it out of the way")
        return content

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint file."""
        Path(path).unlink(missing_ok=True)


def refuse_foreign(content: dict[str, Any], signature: str, path: Path) -> None:
    """Raise `UserError` if a checkpoint says that it belongs to another configuration; options it lacks are new."""
    if different := unlike(json.loads(content.get("signature", "{}")), json.loads(signature)):
        raise UserError(f"checkpoint '{path}' is another run's: {different}; move it out of the way")


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint file, by its checksums; None if it is sound.

    `UserError` if it cannot be read now: that says nothing of what it holds.
    """
    try:
        with zipfile.ZipFile(no_pipe(path)) as archive:
            torn = archive.testzip()
        if torn is None:
            return None
    except OSError as error:
        if error.errno is None:  # zipfile's own
            return str(error)
        raise UserError(
            f"cannot read checkpoint '{path}': {error.strerror}; it is left as it is: start again when it can be read"
        ) from error
    except (EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        return str(error) or type(error).__name__
    return f"checksum of {torn} differs"


def _say(text: str) -> None:
    if is_first_rank():
        say(text)


def newest_sound(run: RunDirectory, *, say: Callable[[str], None] = _say) -> Path | None:
    """The newest checkpoint whose checksums hold; damaged ones are renamed (``….ckpt.damaged``), with a message."""
    passed = False
    for path in reversed(run.saved_checkpoints()):
        wrong = damage(path)
        if wrong is None:
            if passed:
                say(f"continuing from {path.name}")
            return path
        passed = True
        say(f"checkpoint '{path}' is damaged ({wrong})")
        if is_first_rank():
            path.rename(path.with_name(f"{path.name}.damaged"))
    if passed:
        say("no checkpoint is intact: starting from the beginning")
    return None


def adopt(path: Path, folder: Path, config: Config) -> None:
    """Copy another run's checkpoint as one of this configuration's; `OSError` if it cannot be written."""
    file = CheckpointFile(signature(config))
    file.save_checkpoint(read(path), folder / path.name)
    if file.error is not None:
        raise file.error
