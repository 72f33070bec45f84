"""A local stand-in for the W&B service, and a reader of W&B's offline logs."""

from __future__ import annotations

import http.server
import json
import struct
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

BLOCK = 32_768


@dataclass
class RemoteRun:
    """What the service has of a run."""

    upserts: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_codes: list[int] = field(default_factory=list)
    preempting: bool = False

    def values(self, name: str) -> list[tuple[int, Any]]:
        """Step and value of everything logged under a name."""
        return [(row["trainer/global_step"], row[name]) for row in self.history if name in row]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """A client that goes away is no error."""


class StubService:
    """The part of W&B's GraphQL and file stream that its client uses, on 127.0.0.1.

    An agent gets `sweep` as its sweep's configuration, and `commands`, one when it has ended the one before.

    `status` is answered to everything if it is not 200, and becomes 500 with the operation `fail_from`; with
    `uploads_fail` the files of charts and tables do not arrive; `requests` holds what was asked; an operation that it
    does not know is kept in `unknown` and answered with an error.
    """

    def __init__(self) -> None:
        self.status = 200
        self.fail_from: str | None = None
        self.uploads_fail = False
        self.projects = {("someone", "repro")}
        self.runs: dict[str, RemoteRun] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.unknown: list[str] = []
        self.sweep: dict[str, Any] = {}
        self.commands: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments: object) -> None:
                pass

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with service._lock:
                    status, answer = service.status, {}
                    if status == 200:
                        answer = service._respond(self.path, body)
                    status = service.status
                    if service.uploads_fail and self.path.startswith("/upload/"):
                        status = 403  # which the client does not try again
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = _answer  # noqa: N815

        return Handler

    def _respond(self, path: str, body: bytes) -> dict[str, Any]:
        if path == "/graphql":
            asked = json.loads(body)
            name = asked.get("operationName") or asked["query"].split()[1].split("(")[0]
            self.requests.append(name)
            if name == self.fail_from:
                self.status = 500
            answer: Callable[..., dict[str, Any]] | None = getattr(self, f"_{name}", None)
            if answer is None:
                self.unknown.append(asked["query"])
                return {"errors": [{"message": f"unknown operation {name}"}]}
            return {"data": answer(asked.get("variables") or {})}
        if path.endswith("/file_stream"):
            self._stream(self.runs[path.split("/")[-2]], json.loads(body))
        elif path.startswith("/upload/") and not self.uploads_fail:
            _, _, run, name = path.split("/", 3)
            self.runs[run].files[name] = body
        return {}

    def _stream(self, run: RemoteRun, content: dict[str, Any]) -> None:
        for name, part in content.get("files", {}).items():
            lines = [json.loads(line) for line in part["content"]]
            if name == "wandb-history.jsonl":
                assert part["offset"] <= len(run.history), "a gap in the history"
                run.history[part["offset"] : part["offset"] + len(lines)] = lines
            elif name == "wandb-summary.json":
                run.summary = lines[-1]
        run.preempting |= bool(content.get("preempting"))
        if content.get("complete"):
            run.exit_codes.append(content["exitcode"])

    # GraphQL operations, by name

    def _Viewer(self, _: dict[str, Any]) -> dict[str, Any]:
        account = {"id": "u", "entity": "someone", "username": "someone", "email": "", "flags": "{}"}
        return {"viewer": {**account, "teams": {"edges": []}}}

    def _ServerFeaturesQuery(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def _OrganizationCoreWeaveOrganizationID(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"entity": {"organization": None}}

    def _RecordedRun(self, asked: dict[str, Any]) -> dict[str, Any]:
        if (asked["entity"], asked["project"]) not in self.projects:
            return {"project": None}
        run = self.runs.get(asked["run"])
        found = run and {"id": "r", "name": asked["run"], "state": "", "summaryMetrics": json.dumps(run.summary)}
        return {"project": {"id": "p", "name": asked["project"], "run": found}}

    def _RecordedFiles(self, asked: dict[str, Any]) -> dict[str, Any]:
        files = self.runs[asked["run"]].files
        nodes = [{"name": name, "sizeBytes": str(len(files[name]))} for name in asked["names"] if name in files]
        return {"project": {"run": {"files": {"edges": [{"node": node} for node in nodes[: asked["count"]]]}}}}

    def _RunResumeStatus(self, asked: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(asked["name"])
        bucket = run and {
            "id": "r",
            "name": asked["name"],
            "displayName": asked["name"],
            "summaryMetrics": json.dumps(run.summary),
            "config": json.dumps(run.config),
            "historyLineCount": len(run.history),
            "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
            "eventsLineCount": 0,
            "eventsTail": "[]",
            "logLineCount": 0,
            "tags": [],
            "notes": None,
            "wandbConfig": json.dumps({"t": 1}),
        }
        owner = {"id": "e", "name": asked.get("entity") or "someone"}
        return {"model": {"id": "p", "name": asked["project"], "entity": owner, "bucket": bucket}}

    def _UpsertBucket(self, asked: dict[str, Any]) -> dict[str, Any]:
        owner, inserted = asked.get("entity") or "someone", asked["name"] not in self.runs
        self.projects.add((owner, asked["project"]))
        run = self.runs.setdefault(asked["name"], RemoteRun())
        run.upserts.append(asked)
        run.config = json.loads(asked["config"]) if asked.get("config") else run.config
        project = {"id": "p", "name": asked["project"], "entity": {"id": "e", "name": owner}}
        bucket = {"id": "r", "name": asked["name"], "displayName": asked.get("displayName"), "project": project}
        more = {"description": None, "config": json.dumps(run.config), "sweepName": None}
        bucket |= {**more, "historyLineCount": len(run.history)}
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _CreateRunFiles(self, asked: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.url}/upload/{asked['run']}/{name}"} for name in asked["files"]]
        return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}

    def _SweepWithRuns(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"sweep": {"id": "s", "config": json.dumps(self.sweep), "runs": {"edges": []}}}}

    def _CreateAgent(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"createAgent": {"agent": {"id": "a"}}}

    def _Heartbeat(self, asked: dict[str, Any]) -> dict[str, Any]:
        idle = not any(json.loads(asked["runState"]).values())
        given = [self.commands.pop(0)] if self.commands and idle else []
        return {"agentHeartbeat": {"agent": {"id": "a"}, "commands": json.dumps(given)}}

    def _ArtifactType(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"artifact": None}}

    def _CreateArtifact(self, asked: dict[str, Any]) -> dict[str, Any]:
        given = asked["input"]
        name = given.get("artifactCollectionName") or given["artifactCollectionNames"][0]
        for known in self.artifacts:
            if (known["name"], known["digest"]) == (name, given["digest"]):
                return {"createArtifact": {"artifact": known["answer"] | {"state": "COMMITTED"}}}
        answer = {"id": uuid.uuid4().hex, "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
        known = {"name": name, "type": given["artifactTypeName"], "digest": given["digest"], "run": given["runName"]}
        self.artifacts.append({**known, "answer": answer, "files": [], "committed": False})
        return {"createArtifact": {"artifact": answer}}

    def _CreateArtifactManifest(self, asked: dict[str, Any]) -> dict[str, Any]:
        file = {
            "id": "f",
            "name": asked["name"],
            "displayName": asked["name"],
            "uploadUrl": f"{self.url}/upload/{asked['runName']}/manifest",
            "uploadHeaders": [],
            "artifact": {"id": asked["artifactID"]},
        }
        return {"createArtifactManifest": {"artifactManifest": {"id": asked["artifactID"], "file": file}}}

    def _UpdateArtifactManifest(self, asked: dict[str, Any]) -> dict[str, Any]:
        file = {"id": "f", "uploadUrl": f"{self.url}/ignored", "uploadHeaders": []}
        return {"updateArtifactManifest": {"artifactManifest": {"id": asked["artifactManifestID"], "file": file}}}

    def _CreateArtifactFiles(self, asked: dict[str, Any]) -> dict[str, Any]:
        edges = []
        for file in asked["input"]["artifactFiles"]:
            self._artifact(file["artifactID"])["files"].append(file["name"])
            node = {
                "storagePath": file["name"],
                "name": file["name"],
                "displayName": file["name"],
                "uploadUrl": f"{self.url}/ignored/{file['name']}",
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": file["artifactID"]},
            }
            edges.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _CommitArtifact(self, asked: dict[str, Any]) -> dict[str, Any]:
        known = self._artifact(asked["artifactID"])
        known["committed"] = True
        return {"commitArtifact": {"artifact": {"id": asked["artifactID"], "digest": known["digest"]}}}

    def _ArtifactByID(self, asked: dict[str, Any]) -> dict[str, Any]:
        known = self._artifact(asked["id"])
        project = {"id": "p", "internalId": "p", "name": "repro", "entity": {"name": "someone"}}
        found = {
            "__typename": "Artifact",
            "id": asked["id"],
            "artifactSequence": {"__typename": "ArtifactSequence", "name": known["name"], "project": project},
            "artifactType": {"name": known["type"]},
            "state": "COMMITTED" if known["committed"] else "PENDING",
            "digest": known["digest"],
            "createdAt": "2026-01-01T00:00:00Z",
            **dict.fromkeys(("versionIndex", "size", "fileCount", "ttlDurationSeconds"), 0),
            **dict.fromkeys(("description", "metadata", "historyStep", "commitHash", "updatedAt")),
            "ttlIsInherited": True,
            "tags": [],
            "aliases": [],
        }
        return {"artifact": found}

    def _artifact(self, identifier: str) -> dict[str, Any]:
        return next(known for known in self.artifacts if known["answer"]["id"] == identifier)


@pytest.fixture
def wandb_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubService]:
    """The stand-in, with this process logged in to it."""
    import wandb

    service = StubService()
    wandb.teardown()  # W&B reads its settings once
    monkeypatch.setenv("WANDB_BASE_URL", service.url)
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for kind in ("GRAPHQL", "FILE_STREAM", "FILE_TRANSFER"):  # of a service that fails it asks as often, but sooner
        monkeypatch.setenv(f"WANDB__{kind}_RETRY_MAX", "3")
        monkeypatch.setenv(f"WANDB__{kind}_RETRY_WAIT_MIN_SECONDS", "0.1")
        monkeypatch.setenv(f"WANDB__{kind}_RETRY_WAIT_MAX_SECONDS", "0.2")
    for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb-own"))
    yield service
    wandb.teardown()
    service.close()
    assert service.unknown == []


@pytest.fixture
def failing(wandb_service: StubService, monkeypatch: pytest.MonkeyPatch) -> StubService:
    """The stand-in, of which W&B's client expects an answer within seconds."""
    monkeypatch.setattr("wandb.apis.public.api.Api._HTTP_TIMEOUT", 3)  # 19 s for each table that fails
    return wandb_service


def decode(log: Path) -> Iterator[Any]:
    """The records of an offline log: LevelDB's framing after a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content = log.read_bytes()
    position, message = 7, b""
    while position + 7 <= len(content):
        if BLOCK - position % BLOCK < 7:  # a block's tail too short for a header is filled up
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        message += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or last part
            yield Record.FromString(message)
            message = b""


@pytest.fixture(scope="session")
def wandb_logs() -> Callable[[Path], list[list[Any]]]:
    """Reads the offline logs below a folder, oldest first."""
    import wandb

    def read(folder: Path) -> list[list[Any]]:
        wandb.teardown()  # a run's `finish` does not wait until its log is written
        return [list(decode(path)) for path in sorted(folder.rglob("*.wandb"))]

    return read
