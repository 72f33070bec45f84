"""`repro validate` and `repro test`: a run's checkpoint on held-out data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from repro.commands.configuration import ConfigurationParser, ConfiguredRequest
from repro.commands.fit import print_metrics
from repro.commands.options import Action, argument
from repro.config import Config
from repro.errors import UserError

EXAMPLES = ("runs/single/RUN", "runs/single/RUN/checkpoints/best.ckpt", "--config configs/oyedotun-mnist5k.yaml")


class _Evaluate(ConfiguredRequest):
    run: Path | None = argument(
        "a run directory or a checkpoint, in place of a configuration", nargs="?", default=None, metavar="RUN"
    )


def _of_run(own: Mapping[str, Any]) -> Config | None:
    from repro.runs.start import stored_checkpoint

    return stored_checkpoint(own["run"])[1] if own.get("run") else None


def parser(command: str) -> ConfigurationParser:
    """The parser of `repro validate` or `repro test`."""
    parts = ("validation",) if command == "validate" else ("train", "test")
    return ConfigurationParser(command, EXAMPLES, Action(_Evaluate, partial(main, parts=parts)), _of_run)


def main(request: _Evaluate, *, parts: tuple[str, ...]) -> int:
    """Evaluate, and print the metrics of some parts of the data."""
    from repro.distributed.processes import is_first_rank
    from repro.records import RunDirectory
    from repro.runs.start import newest_checkpoint, resolve, stored_checkpoint

    config = request.config
    if request.run:
        checkpoint = stored_checkpoint(request.run)[2]
    else:
        resolved = resolve(config, request.base)
        config, checkpoint = resolved.config, newest_checkpoint(RunDirectory.open(resolved.directory.path))
    if "validation" in parts and not config.data.validation_size:
        raise UserError("the run has no validation split; train with --data.validation_size N, or use repro test")
    from repro.runs.build import evaluate

    metrics = evaluate(config, checkpoint)
    if not is_first_rank():
        return 0
    print(f"{checkpoint}:")
    print_metrics({name: value for name, value in metrics.items() if name.split("_")[0] in parts})
    return 0
