"""The commands, a module each: `parser` makes its parser, another function does what is asked; imported when called."""

from __future__ import annotations

import importlib
from typing import Any

from repro.errors import unknown

COMMANDS = {
    "fit": "Train a network; the same command again goes on, or skips a finished run.",
    "validate": "Evaluate a run's newest checkpoint, or one that is named, on its validation split.",
    "test": "Evaluate a run's newest checkpoint, or one that is named, on the training and test sets.",
    "submit": "Hand runs to SLURM, a job each, after looking whether they can run.",
    "study": "Plan, run, follow and report the studies: one file for each artefact of a paper.",
    "runs": "List, show, compare and clean run directories.",
    "report": "Make one page, with tables and figures, of run directories or folders of runs.",
    "measure": "Measure a run's checkpoint, or any network on a folder of images.",
    "spectra": "What follows from all singular values of a run: stable and effective rank, participation ratio, κ.",
    "theory": "Check both papers' theorems, lemmas and remarks by experiment: figures, a page, a verdict each.",
    "landscape": "Draw the loss surface around a trained network, over two directions.",
    "data": "Prepare, check and show data sets: on a login node, before training, which never downloads.",
    "doctor": "Check a machine for a study or a configuration, before a cluster does: one line a check.",
    "wandb-sync": "Send records of runs and studies to Weights & Biases, as often as you like: what is new is sent.",
    "card": "Write a run or a study as a folder for the Hugging Face Hub, weights and card; or push it.",
    "sweep": "Write a study as a sweep of Weights & Biases', for its agents to run.",
    "demo": "Train PlainNet, ResNet and ResNeXt of 110 layers on real digits and report their conditioning.",
    "help": "Explain a topic or a command: repro help TOPIC.",
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
