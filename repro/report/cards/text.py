"""A model card: what a run or a study is, our values beside the paper's, and how it is made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from repro.figures.style import title
from repro.report.outcomes import RunResult, verdicts
from repro.report.sources import Section, configuration
from repro.report.tables import Column, Table, accuracy_table, to_markdown
from repro.report.words import reservations, verdict_lines
from repro.text import as_code, as_markdown, printable, shell

_AT_THE_HUB = {
    "MNIST": "ylecun/mnist",
    "MNIST5k": "ylecun/mnist",
    "CIFAR10": "uoft-cs/cifar10",
    "CIFAR100": "uoft-cs/cifar100",
    "ImageNet": "ILSVRC/imagenet-1k",
}


def model_card(section: Section, results: Sequence[RunResult], folders: Mapping[str, str], checksum: str | None) -> str:
    """The card's text, YAML first; whatever a record says stands in it as plain text.

    `folders` says where in the card's folder a run with weights is, by the run's name: ``.`` for the folder itself. The
    checksum is the data's; None where they are not here.
    """
    shown = [result for result in results if result.cell.name in folders]
    where = f"Of {section.where}: {section.title}." if section.where else ""
    parts = [
        f"# {as_markdown(_heading(section, shown))}",
        " ".join(map(as_markdown, filter(None, [section.question, where, reservations(section)]))),
        to_markdown(_plain(accuracy_table(section, results))),
        _judged(section, results),
        "## What it is made of",
        to_markdown(_plain(_facts(shown, checksum))),
        f"## Make it again\n\n{as_code(_command(section, folders))}",
        _use(shown, folders),
    ]
    return f"---\n{_metadata(section, shown)}\n---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def _heading(section: Section, shown: Sequence[RunResult]) -> str:
    if len(shown) != 1:
        return section.title
    data = configuration(shown[0].cell.run).get("data", {}) if shown[0].cell.run else {}
    return f"{title(shown[0].network)} on {data.get('name', 'its data')}"


def _judged(section: Section, results: Sequence[RunResult]) -> str:
    lines = verdict_lines(section, verdicts(section, results), as_markdown)
    return f"## What the paper claims\n\n{lines}" if lines else ""


def _plain(table: Table) -> Table:
    columns = [
        replace(column, group=as_markdown(column.group), name=as_markdown(column.name)) for column in table.columns
    ]
    return Table(columns, [[as_markdown(cell) for cell in row] for row in table.rows])


def _facts(shown: Sequence[RunResult], checksum: str | None) -> Table:
    """What each run was: its network and data, and with what it was made."""
    names = ["run", "network", "parameters", "data", "epochs", "seed", "commit", "made with"]
    rows = []
    for result in shown:
        run = result.cell.run
        assert run is not None
        config, life = configuration(run), (run.lives or [{}])[-1]
        versions = life.get("versions", {})
        data = config.get("data", {})
        rows.append(
            [
                result.cell.name,
                title(result.network),
                f"{life['parameters']:,}" if isinstance(life.get("parameters"), int) else "not recorded",
                f"{data.get('name')}, {data.get('train_size') or 'all'} training images",
                str(config.get("trainer", {}).get("max_epochs")),
                str(config.get("seed")),
                f"{life.get('commit') or 'not recorded'}{', with changes' if life.get('dirty') else ''}",
                f"torch {versions.get('torch', '?')}, repro {versions.get('repro', '?')}, {life.get('device', '?')}",
            ]
        )
    table = [[name, *cells] for name, *cells in zip(names, *rows, strict=True)]
    table.append(["checksum of the data", *([checksum or "not known here"] * len(rows))])
    return Table([Column("", head, numeric=False) for head in ("", *table[0][1:])], table[1:])


def _command(section: Section, folders: Mapping[str, str]) -> str:
    if list(folders.values()) == ["."] or not section.command:
        return shell("repro", "fit", "--config", "config.yaml")
    return section.command


def _use(shown: Sequence[RunResult], folders: Mapping[str, str]) -> str:
    folder = folders[shown[0].cell.name]
    here = "HERE" if folder == "." else f"HERE/{folder}"
    code = f"""import repro

trained = repro.restore({here!r})  # the network in eval mode, and its data
scores = trained.module.network(trained.data.probe(16)[0])"""
    return "\n\n".join(
        [
            "## Use it",
            "`HERE` is where this folder was downloaded to. Nothing in it is code: the weights are safetensors, all "
            "else is text. Without the package, what `safetensors.torch.load_file` reads is its `state_dict`.",
            as_code(code, "python"),
            as_code(shell("repro", "test", here)),
        ]
    )


def _metadata(section: Section, shown: Sequence[RunResult]) -> str:
    """The YAML that the Hub reads."""
    from huggingface_hub import EvalResult, ModelCardData

    scores, data = [], set()
    for result in shown:
        settings = configuration(result.cell.run).get("data", {}) if result.cell.run else {}
        name = printable(str(settings.get("name", "")))
        data.add(name)
        for part in ("train", "test"):
            if (value := result.quantities.get(f"{part}_accuracy")) is not None:
                scores.append(
                    EvalResult(
                        task_type="image-classification",
                        dataset_type=_AT_THE_HUB.get(name, name),
                        dataset_name=name,
                        dataset_split=part,
                        metric_type="accuracy",
                        metric_name=f"{part} accuracy (%), {printable(result.cell.name)}",
                        metric_value=round(value, 4),
                    )
                )
    tags = [section.paper, section.artefact, section.preset, *(result.network for result in shown), "skip-connections"]
    metadata: dict[str, Any] = {
        "library_name": "repro",
        "pipeline_tag": "image-classification",
        "tags": list(dict.fromkeys(printable(tag) for tag in tags if tag)),
        "datasets": sorted({_AT_THE_HUB[name] for name in data if name in _AT_THE_HUB}) or None,
        "metrics": ["accuracy"],
    }
    if scores:
        metadata |= {"model_name": printable(_heading(section, shown)), "eval_results": scores}
    return ModelCardData(**metadata).to_yaml()
