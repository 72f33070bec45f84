"""A card's folder on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from repro import waiting
from repro.errors import UserError, first_line


def require_login() -> None:
    """Refuse before anything takes time, if nobody is logged in."""
    from huggingface_hub import get_token

    if not get_token():
        raise UserError("the Hub has no login here; run `hf auth login`, or set HF_TOKEN to a token that may write")


def push(folder: Path, files: Sequence[str], repository: str, *, private: bool) -> str:
    """Make or update the repository OWNER/NAME with these files of a folder, and nothing else; returns its address.

    `private`: a new one is seen by its owner alone. `UserError` if it has no such name, the Hub refuses, or cannot be
    reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi()

    def send() -> str:
        address = str(api.create_repo(repository, private=private, exist_ok=True))
        api.upload_folder(
            repo_id=repository, folder_path=folder, allow_patterns=list(files), commit_message="Made by repro card"
        )
        return address

    try:
        return waiting.outcome(send, "the Hub to take the folder")
    except HFValidationError as error:
        raise UserError(f"--push is '{repository}'; allowed: OWNER/NAME ({first_line(error)})") from error
    except HfHubHTTPError as error:
        raise UserError(
            f"the Hub refuses '{repository}' ({first_line(error)}); look at the name and at your token"
        ) from error
    except Exception as error:  # whatever its HTTP library raises
        raise UserError(
            f"the Hub at {api.endpoint} cannot be reached ({first_line(error)}); '{folder}' is written, and the same "
            "command pushes it"
        ) from error
