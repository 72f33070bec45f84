"""A card's folder: the same numbers from it in another process, a stranger's text as text, no code, no network."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from safetensors.torch import load_file

import repro
from repro.cli import run as command
from repro.config import from_mapping, to_yaml
from repro.errors import UserError
from repro.records import RunDirectory
from repro.runs.start import start
from repro.studies import manifest
from repro.studies.description import SizedDescription
from repro.studies.study import StudyCell

SMALL = {
    "model": {"network": "resnet8", "width": 4},
    "data": {"train_size": 100, "batch_size": 50, "test_size": 100, "evaluation_batch_size": 100},
    "training": {"warmup_steps": 1},
    "trainer": {"max_epochs": 1, "accelerator": "cpu", "progress": "none"},
    "measure": {"probe_size": 16, "measurements": ["weights"]},
    "log": {"wandb": "disabled"},
    "study": "mine",
    "name": "resnet8",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of a study with the paper's values and claims."""
    config = from_mapping({**SMALL, "runs": str(tmp_path_factory.mktemp("runs"))})
    made = start(config).run
    about = SizedDescription(
        name="mine",
        title="A table",
        question="Does it train?",
        paper="Oyedotun",
        artefact="Table 1",
        preset="cpu",
        reductions=["few digits"],
        paper_values={"resnet8": {"test_accuracy": 99.57}},
        claims=["resnet8.test_accuracy >= 90 | Table 1 (99.57)", "0 <= resnet8.train_loss <= 100 | Table 1"],
        command="repro study run mine",
    )
    cell = StudyCell(label="resnet8", seed=0, config=config)
    manifest.write(made.path.parent, manifest.content(about, [cell], [made.name]))
    return made


@pytest.fixture(scope="module")
def card(run: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("elsewhere") / "card"
    assert command(["card", str(run.path), "--out", str(out)]) == 0
    return out


def test_the_card_has_our_values_the_papers_and_the_verdicts(run: RunDirectory, card: Path) -> None:
    text = (card / "README.md").read_text()
    read = ModelCard.load(card / "README.md")
    ours = 100 * run.state["final"]["test_accuracy"]
    scores = {result.metric_name: result.metric_value for result in read.data.eval_results}
    assert scores[f"test accuracy (%), {run.name}"] == pytest.approx(ours)
    assert {result.dataset_type for result in read.data.eval_results} == {"ylecun/mnist"}
    assert {"Oyedotun", "Table 1", "cpu", "resnet8", "skip-connections"} == set(read.data.tags)
    assert f"| ResNet-8 | {100 * run.state['final']['train_accuracy']:.2f} | {ours:.2f} | 99.57 |" in text
    assert "- **fails** (reduced)" in text
    assert "- **holds** (reduced)" in text
    assert "Reduced against our full size\\: few digits." in text
    assert run.lives[-1]["commit"] in text
    assert repro.records.environment()["versions"]["torch"] in text
    from repro.data import fingerprint

    assert fingerprint("MNIST5k", "data") in text
    assert "repro fit --config config.yaml" in text


def test_the_folder_names_no_machine_and_holds_no_code(run: RunDirectory, card: Path) -> None:
    assert {path.suffix for path in card.rglob("*") if path.is_file()} <= {
        ".md", ".yaml", ".json", ".jsonl", ".gz", ".safetensors"
    }  # fmt: skip
    for path in card.rglob("*"):
        if path.is_file() and path.suffix != ".gz":
            content = path.read_bytes()
            assert str(run.path.parents[1]).encode() not in content, path
    saved = torch.load(run.saved_checkpoints()[-1], weights_only=True)["state_dict"]
    weights = load_file(card / "model.safetensors")
    assert weights
    for name, value in weights.items():
        assert torch.equal(value, saved[f"network.{name}"])


@pytest.mark.slow
def test_restored_in_a_fresh_process_it_gives_the_same_numbers_bit_for_bit(
    run: RunDirectory, card: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(card, tmp_path / "downloaded")
    code = f"""
import json, sys, torch, repro
from repro.runs.build import evaluate
from repro.runs.start import stored_checkpoint
trained = repro.restore({str(copied)!r})
scores = trained.module.network(trained.data.probe(16)[0])
_, config, checkpoint = stored_checkpoint({str(copied)!r})
final = evaluate(config, checkpoint)
torch.save(scores, {str(tmp_path / "scores.pt")!r})
json.dump(final, open({str(tmp_path / "final.json")!r}, "w"))
"""
    environment = {"PYTHONPATH": str(Path(repro.__file__).parents[1]), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={"PATH": "/usr/bin:/bin", **environment}, check=True)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trained = repro.restore(run.path)
        scores = trained.module.network(trained.data.probe(16)[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(scores, torch.load(tmp_path / "scores.pt", weights_only=True))
    final = json.loads((tmp_path / "final.json").read_text())
    recorded = run.state["final"]
    assert {name: final[name] for name in ("train_accuracy", "test_accuracy")} == {
        name: recorded[name] for name in ("train_accuracy", "test_accuracy")
    }
    assert final == pytest.approx(recorded, rel=1e-6)


@pytest.mark.slow
def test_a_study_has_a_folder_for_each_run_and_reports_read_it(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = {
        "name": "mine",
        "title": "A table",
        "question": "Does it train?",
        "base": {key: value for key, value in SMALL.items() if key not in ("study", "name")},
        "grid": {"model.network": ["resnet8", "resnet14"]},
        "presets": {"cpu": {"seeds": [0]}},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(study))
    runs = run.path.parents[1]
    arguments = ["card", str(tmp_path / "mine.yaml"), "--runs", str(runs), "--out", str(tmp_path / "cards")]
    assert command(arguments) == 0
    text = (tmp_path / "cards" / "README.md").read_text()
    assert "| ResNet-14 |" in text
    assert "not run" in text
    assert [path.name for path in tmp_path.glob("cards/*/model.safetensors")] == ["model.safetensors"]
    assert command(arguments) == 0, "it may be written again"
    assert command(["report", str(tmp_path / "cards"), "--out", str(tmp_path / "page")]) == 0


@pytest.mark.slow
def test_commands_take_a_card_for_its_run(card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["runs", "show", str(card)]) == 0
    assert "start 1: " in capsys.readouterr().out
    assert command(["test", str(card)]) == 0
    measure = ["measure", str(card), "--probe-size", "16", "--out", str(tmp_path / "measured"), "--measurements"]
    assert command([*measure, "weights", "gradients"]) == 0
    assert command([*measure, "updates"]) == 2
    assert "has weights alone, and updates depend on the momentum" in capsys.readouterr().err


HOSTILE = "x](http://evil) <script>alert(1)</script> @me www.evil.org `code` $x$ | a\n---\n# b: !!python/object"


def test_what_a_stranger_wrote_is_shown_and_does_nothing(run: RunDirectory, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(run.path.parent, folder)
    content = json.loads((folder / "manifest.json").read_text())
    content |= {"title": HOSTILE, "question": HOSTILE, "paper": HOSTILE, "artefact": HOSTILE, "command": HOSTILE}
    content |= {"reductions": [HOSTILE]}
    for cell in content["cells"]:
        cell["label"] = "a|b <i>`"
    content |= {"claims": [], "paper_values": {}}
    (folder / "manifest.json").write_text(json.dumps(content))
    copied = RunDirectory(folder / run.name)
    lives = [{**life, "commit": HOSTILE, "versions": {"torch": HOSTILE}, "device": HOSTILE} for life in run.lives]
    (copied.path / "environment.json").write_text(json.dumps(lives))
    assert command(["card", str(copied.path), "--out", str(tmp_path / "card")]) == 0
    text = (tmp_path / "card" / "README.md").read_text()
    front, _, body = text.removeprefix("---\n").partition("\n---\n")
    assert set(yaml.safe_load(front)) <= {
        "library_name", "pipeline_tag", "tags", "datasets", "metrics", "model-index"
    }  # fmt: skip
    assert ModelCard.load(tmp_path / "card" / "README.md").data.library_name == "repro"
    assert "\n---\n" not in body
    assert not re.search(r"(?<!\\)[<\[$@]", re.sub(r"(?s)(`{3,}).*?\n\1", "", body))
    commonmark = MarkdownIt("commonmark").enable("table")
    tokens = commonmark.parse(body)
    kinds = {child.type for token in tokens for child in (token.children or [])} | {token.type for token in tokens}
    assert not kinds & {"link_open", "html_inline", "html_block", "image", "hr"}
    headings = [tokens[place + 1].content for place, token in enumerate(tokens) if token.type == "heading_open"]
    assert len(headings) == 4
    shown = "".join(child.content for token in tokens for child in (token.children or []))
    assert "x](http://evil) <script>alert(1)</script> @me www.evil.org `code` $x$ | a" in shown


def test_mistakes_are_one_line(
    run: RunDirectory, card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub

    def told(*arguments: Any) -> str:
        assert command(["card", *map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        return error

    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "README.md").write_text("# mine")
    assert "has other files than those of a card" in told(run.path, "--out", tmp_path / "taken")
    assert "has other files than those of a card" in told(run.path, "--out", run.path)
    assert "does not exist; `repro runs list` names the runs" in told(tmp_path / "runs" / "typo")
    unfinished = RunDirectory.prepare(tmp_path / "runs" / "r", to_yaml(from_mapping(SMALL)))
    assert "no run of runs has ended and has its checkpoint here" in told(unfinished.path, "--out", tmp_path / "no")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert "the Hub has no login here" in told(run.path, "--out", tmp_path / "no", "--push", "me/it")
    assert not (tmp_path / "no").exists()
    damaged = shutil.copytree(card, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(UserError, match=r"cannot use checkpoint '.*model.safetensors'"):
        repro.restore(damaged)
    other = dataclasses.replace(from_mapping({**SMALL, "model": {"network": "resnet8", "width": 6}}))
    (damaged / "config.yaml").write_text(to_yaml(other))
    shutil.copy(card / "model.safetensors", damaged / "model.safetensors")
    with pytest.raises(UserError, match="it is another network's"):
        repro.restore(damaged)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("unreachable", "cannot be reached"),
        ("refused", "the Hub refuses 'me/it'"),
        ("no name", "allowed: OWNER/NAME"),
        ("taken", "pushed"),
    ],
)
def test_a_push_sends_the_cards_files_alone_or_says_why_not(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, message: str
) -> None:
    import httpx
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    from repro.report.cards import hub

    sent: list[dict[str, Any]] = []

    class Api:
        endpoint = "https://hub.test"

        def create_repo(self, repository: str, **options: Any) -> str:
            request = httpx.Request("POST", self.endpoint)
            if answer == "unreachable":
                raise httpx.ConnectError("Connection refused")
            if answer == "refused":
                raise HfHubHTTPError("403 Forbidden\nlong story", response=httpx.Response(403, request=request))
            if answer == "no name":
                raise HFValidationError("Repo id must be in the form 'repo_name'")
            return f"{self.endpoint}/{repository}"

        def upload_folder(self, **options: Any) -> None:
            sent.append(options)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    if answer != "taken":
        with pytest.raises(UserError, match=message):
            hub.push(card, ["README.md"], "me/it", private=True)
        assert not sent
        return
    assert hub.push(card, ["README.md", "config.yaml"], "me/it", private=True) == "https://hub.test/me/it"
    assert sent[0]["allow_patterns"] == ["README.md", "config.yaml"]
