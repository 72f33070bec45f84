"""The commands, a module each: `parser` makes its parser, another function does what is asked; imported when called."""

from __future__ import annotations

import importlib
from typing import Any

from repro.errors import unknown

COMMANDS = {
    "fit": "Train a network. Repeat the command to continue a stopped run.",
    "validate": "Evaluate a run's newest checkpoint, or a given checkpoint, on the validation split.",
    "test": "Evaluate a run's newest checkpoint, or a given checkpoint, on the training and test sets.",
    "submit": "Check whether runs can start, then submit each one to SLURM as a job.",
    "study": "Plan, run, monitor and report studies: one study for each table or figure of the papers.",
    "runs": "List, show, compare and clean run directories.",
    "report": "Make a page with tables and figures from run directories or folders of runs.",
    "measure": "Measure a run's checkpoint, or any network on a folder of images.",
    "spectra": "Compute stable rank, effective rank, participation ratio and κ from all singular values of a run.",
    "theory": "Test each theorem, lemma and remark of both papers by a numerical experiment; write a page of verdicts.",
    "landscape": "Draw the loss surface around a trained network, along two directions.",
    "data": "Prepare, check and show data sets. Prepare them before training: training never downloads.",
    "doctor": "Check whether this machine can run a study or a configuration; one line for each check.",
    "wandb-sync": "Send records of runs and studies to Weights & Biases; only what is new is sent.",
    "card": "Write weights and a model card of a run or study for the Hugging Face Hub; --push uploads them.",
    "sweep": "Write a study as a Weights & Biases sweep, which its agents run.",
    "demo": "Train PlainNet, ResNet and ResNeXt of 110 layers on real digits and report their conditioning.",
    "help": "Explain a topic or a command.",
}
"""What each command does, known before it is imported."""
_MODULES = {
    "validate": "evaluate",
    "test": "evaluate",
    "doctor": "slurm.doctor",
    "submit": "slurm.submit",
    "wandb-sync": "sharing.wandb_sync",
    "sweep": "sharing.sweep",
    "card": "sharing.card",
}
"""Where a command is whose module has another name."""


def parser_of(command: str) -> Any:
    """A command's parser, which has a method ``read``; `UserError` if there is no such command."""
    if command not in COMMANDS:
        raise unknown("command", command, COMMANDS)
    module = _MODULES.get(command, command)
    return importlib.import_module(f"{__name__}.{module}").parser(command)
