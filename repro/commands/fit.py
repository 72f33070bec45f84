"""`repro fit`: one run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from repro.commands.configuration import ConfigurationParser, ConfiguredRequest
from repro.commands.options import Action
from repro.commands.starting import Starting
from repro.records import RunDirectory
from repro.text import shell

EXAMPLES = (
    "--config configs/oyedotun-mnist5k.yaml",
    "--config configs/oyedotun-mnist5k.yaml --model.network plainnet20 --seed 3",
    "--model.network timm/resnet18 --trainer.max_epochs 3 --budget 30",
)


class Fit(ConfiguredRequest, Starting):
    """What `repro fit` is asked for."""


def main(request: Fit) -> int:
    """Train, and print how the run ended."""
    from repro.distributed.processes import is_first_rank
    from repro.runs.start import resolve, start

    outcome = start(resolve(request.config, request.base), again=request.again, ends=request.budget.ends)
    if not is_first_rank():
        return 0
    if outcome.action == "skipped":
        print(f"{outcome.state['status']} earlier; --again trains it again")
        _tell_agent(outcome.run)
        if lacking := _not_measured(outcome.run, request.config.measure.measurements):
            command = shell("repro", "measure", outcome.run.path, "--measurements", *lacking)
            print(f"  it was not asked for {', '.join(lacking)}: {command}")
    _print_state(outcome.run.path, outcome.state)
    return 0


parser = partial(ConfigurationParser, examples=EXAMPLES, action=Action(Fit, main))


def _tell_agent(run: RunDirectory) -> None:
    """Send the record of a run that ended before to the run that a sweep's agent has asked for."""
    from repro.tracking import wandb_sync
    from repro.tracking.wandb_environment import sweep_run
    from repro.tracking.wandb_service import Service

    if key := sweep_run():
        service = Service()
        wandb_sync.send(wandb_sync.pending(run, service, key=key), service)


def _not_measured(run: RunDirectory, wanted: Sequence[str]) -> list[str]:
    """Measurements that a run's own configuration does not have."""
    from repro.config import load

    own = load(run.config_path).measure
    return [name for name in wanted if name not in (*own.measurements, *own.every_n_steps)]


def _print_state(path: Path, state: dict[str, object]) -> None:
    print(f"{path}: {state['status']} after {state.get('step', 0)} steps, {state.get('seconds', 0)} s")
    if "reason" in state:
        print(f"  {state['reason']}")
    if isinstance(solution := state.get("solution"), dict):
        print(
            f"  rank {solution['rank']:,} of {solution['images']:,} images x {solution['features']:,} features, "
            f"residual {solution['residual']:.3g}"
        )
    print_metrics(state.get("final", {}))


def print_metrics(metrics: object) -> None:
    """Print final metrics, accuracies in per cent."""
    assert isinstance(metrics, dict)
    for name, value in metrics.items():
        print(f"  {name.replace('_', ' ')}: {f'{100 * value:.2f} %' if 'accuracy' in name else f'{value:.4g}'}")
