"""The W&B service, asked before anything is sent to it: who is logged in, what it has of a run. Imports no torch."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import netrc
import os
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from repro.config import LogConfig
from repro.errors import UserError, no_pipe
from repro.tracking.wandb_environment import said, sweep_run

TIMEOUT_SECONDS = 15.0
_VIEWER = "query Viewer { viewer { id entity username } }"
_RUN = """
query RecordedRun($entity: String!, $project: String!, $run: String!) {
  project(name: $project, entityName: $entity) { id name run(name: $run) { id name state summaryMetrics } }
}
"""
_FILES = """
query RecordedFiles($entity: String!, $project: String!, $run: String!, $names: [String!]!, $count: Int!) {
  project(name: $project, entityName: $entity) {
    run(name: $run) { files(names: $names, first: $count) { edges { node { name sizeBytes } } } }
  }
}
"""


class MissingProject(UserError):
    """The service has no project of this name."""


def available() -> bool:
    """Whether the package wandb is installed."""
    return importlib.util.find_spec("wandb") is not None


def place(
    log: LogConfig, labels: Mapping[str, Any], *, project: str | None = None, entity: str | None = None
) -> tuple[str, str | None]:
    """Project and entity of a run: as named here, else by its configuration, else by W&B's variables when it trained.

    An entity of None is the account's own.
    """
    now = said()
    agent = now if sweep_run() else {}  # W&B puts the runs of a sweep where the sweep is
    where = project or agent.get("project") or log.project or now.get("project") or labels.get("project")
    whose = entity or agent.get("entity") or log.entity or now.get("entity") or labels.get("entity")
    return where or "repro", whose


class Service:
    """W&B's service at the address that W&B itself is configured for (``WANDB_BASE_URL``, ``wandb login --host``).

    Asked over plain HTTP: W&B's own client retries for minutes and does not tell a refusal from an outage. Whatever
    asks raises `UserError` if it cannot be reached or refuses.
    """

    def __init__(self) -> None:
        if not available():
            raise UserError("W&B is not installed; pip install wandb")
        from wandb.sdk import wandb_setup

        try:
            settings = wandb_setup.singleton().settings
        except ValueError as error:  # pydantic's, of an address or a mode that is none
            raise UserError(f"W&B's settings are wrong: {str(error).partition('For further')[0]}") from error
        self.url = str(settings.base_url).rstrip("/")
        key = settings.api_key or os.environ.get("WANDB_API_KEY") or self._stored_key()
        if not key:
            raise UserError(f"W&B has no login for {self.url}; run `wandb login` on this machine or set WANDB_API_KEY")
        self._authorization = "Basic " + b64encode(f"api:{key}".encode()).decode()
        self._entity: str | None = None

    def _stored_key(self) -> str | None:
        """The key that `wandb login` has stored."""
        with contextlib.suppress(OSError, ValueError, RuntimeError, netrc.NetrcParseError):  # it need not be there
            path = no_pipe(Path(os.environ.get("NETRC", "~/.netrc")).expanduser())
            if login := netrc.netrc(path).authenticators(urlsplit(self.url).hostname or ""):
                return login[2]
        return None

    @property
    def entity(self) -> str:
        """The account's own user or team."""
        if self._entity is None:
            viewer = self.query(_VIEWER, {}).get("viewer")
            if not viewer:
                raise UserError(f"W&B at {self.url} does not know this login; run `wandb login --relogin`")
            self._entity = str(viewer.get("entity") or viewer["username"])
        return self._entity

    def run_summary(self, entity: str, project: str, identifier: str) -> dict[str, Any] | None:
        """The summary of a run, None if there is no such run; `MissingProject` if there is no such project."""
        answer = self.query(_RUN, {"entity": entity, "project": project, "run": identifier}).get("project")
        if answer is None:
            raise MissingProject(
                f"W&B at {self.url} has no project '{project}' of '{entity}'; make it there, or name another with "
                "--project and --entity"
            )
        return None if answer.get("run") is None else json.loads(answer["run"].get("summaryMetrics") or "{}")

    def lost_media(self, entity: str, project: str, identifier: str, summary: Mapping[str, Any]) -> list[str]:
        """Names under which a run's summary has a picture or a table whose file has never arrived.

        Files travel apart from the rows that name them, and W&B's client gives them up without a word. The summary
        names the newest of each.
        """
        paths = {
            name: str(value["path"])
            for name, value in summary.items()
            if isinstance(value, dict) and str(value.get("_type")).endswith("-file") and "path" in value
        }
        if not paths:
            return []
        names = sorted(set(paths.values()))
        variables = {"entity": entity, "project": project, "run": identifier, "names": names, "count": len(names)}
        files = ((self.query(_FILES, variables).get("project") or {}).get("run") or {}).get("files") or {}
        nodes = [edge["node"] for edge in files.get("edges", ())]
        arrived = {node["name"] for node in nodes if int(node.get("sizeBytes") or 0)}
        return [name for name, path in paths.items() if path not in arrived]

    def query(self, text: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The data that a GraphQL query yields."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            data=json.dumps({"query": text, "variables": variables}).encode(),
            headers={"Authorization": self._authorization, "Content-Type": "application/json", "User-Agent": "repro"},
        )
        authorities = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
        context = ssl.create_default_context(cafile=authorities) if self.url.startswith("https") else None
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=context) as answer:
                content = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise UserError(
                    f"W&B at {self.url} refuses the login ({error.code}); run `wandb login --relogin`"
                ) from None
            raise UserError(f"W&B at {self.url} answers {error.code} {error.reason}; try again later") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise UserError(f"W&B at {self.url} cannot be reached ({reason}); use a machine with network") from None
        if content.get("errors"):
            raise UserError(f"W&B at {self.url} refuses: {content['errors'][0].get('message', content['errors'][0])}")
        return dict(content.get("data") or {})
