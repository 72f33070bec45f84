"""`repro submit`: single runs, handed to SLURM."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from repro.cluster import sbatch, scripts, slurm, submission
from repro.cluster.preflight import passes, preflight
from repro.commands.configuration import ConfigurationParser, ConfiguredRequest
from repro.commands.options import Action, argument
from repro.commands.slurm.jobs import OnSlurm
from repro.config import Config, Written, parse
from repro.errors import UserError
from repro.importing import trust_flags
from repro.records import RunDirectory
from repro.runs.start import resolve

EXAMPLES = (
    "configs/oyedotun-mnist.yaml --partition gpu --time 12:00:00",
    "configs/oyedotun-mnist.yaml configs/nguyen-mnist.yaml --seed 3 --gres gpu:a100:1 --setup modules.sh",
    "--model.network timm/resnet18 --trainer.devices 4 --dry-run",
)


class _Submit(ConfiguredRequest, OnSlurm):
    files: tuple[str, ...] = argument(
        "YAML files: one run and one job for each; flags apply to all of them", nargs="*", default=(), metavar="CONFIG"
    )


def main(request: _Submit) -> int:
    """Submit what is neither finished nor on its way; the status is 1 if a check fails."""
    if request.base != Config():
        raise UserError("repro submit takes configuration files as arguments: repro submit FILE ..., without --config")
    resources = request.resources()
    asked = [[*(["--config", file] if file else []), *_flags(request.typed)] for file in request.files or ("",)]
    written = [parse(arguments) for arguments in asked]
    fine = passes(preflight([each.config for each in written], limit=slurm.seconds(resources.time)))
    if not fine and not request.dry_run:
        return 1
    for run, folder, arguments, config in list(_missing(written, asked, fine)):
        name = run.name if run else folder.name
        job = scripts.run(
            f"repro-{name}",
            [*arguments, *trust_flags()],
            output=f"{slurm.log_pattern(folder)}/logs/slurm-%j.out",
            where=scripts.layout(config),
            resources=resources,
        )
        print(f"\n{sbatch.text(job)}")
        if request.dry_run:
            print(f"would {'' if fine else 'not '}submit it{'' if fine else ', as a check fails'}")
            continue
        number = submission.submit(job, folder, {submission.ALONE: name})
        print(f"submitted job {number}: {folder / name}; its log is in {folder}/logs")
    return 0 if fine else 1


def _flags(typed: Mapping[str, Any]) -> list[str]:
    """Flags as they are typed."""
    return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in typed.items()]


def _missing(
    written: Sequence[Written], asked: Sequence[list[str]], fine: bool
) -> Iterator[tuple[RunDirectory | None, Path, list[str], Config]]:
    """Runs to submit, with their study's folder, arguments and configuration; those of unsound ones have no name."""
    seen: set[Path] = set()
    for each, arguments in zip(written, asked, strict=True):
        folder = Path(each.config.runs) / each.config.study
        if not fine:
            yield None, folder, arguments, each.config
            continue
        run = resolve(each.config, each.base).directory
        if run.path in seen:
            raise UserError(f"'{run.path}' is named twice; name it once")
        seen.add(run.path)
        if run.ended or run.holder is not None or run.name in submission.queued(folder):
            print(f"{run.path} is {run.status if run.ended else 'running or queued'}: not submitted again")
            continue
        yield run, folder, arguments, each.config


parser = partial(ConfigurationParser, examples=EXAMPLES, action=Action(_Submit, main))
