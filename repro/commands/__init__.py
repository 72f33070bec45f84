"""The commands, a module each: one function builds its parser, one does what is asked; imported when it is called."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """What is known of a command before it is imported."""

    text: str
    parser: str
    """Import path of the function that makes its parser."""


COMMANDS = {
    "fit": Command(
        "Train a network; the same command again goes on, or skips a finished run.", "repro.commands.fit:parser"
    ),
    "validate": Command(
        "Evaluate a run's newest checkpoint, or one that is named, on its validation split.",
        "repro.commands.evaluate:validation_parser",
    ),
    "test": Command(
        "Evaluate a run's newest checkpoint, or one that is named, on the training and test sets.",
        "repro.commands.evaluate:test_parser",
    ),
    "study": Command(
        "Plan, run, follow and report the studies: one file for each artefact of a paper.",
        "repro.commands.study.actions:parser",
    ),
    "runs": Command("List, show, compare and clean run directories.", "repro.commands.runs:parser"),
    "report": Command(
        "Make one page, with tables and figures, of run directories or folders of runs.", "repro.commands.report:parser"
    ),
    "measure": Command(
        "Measure a run's checkpoint, or any network on a folder of images.", "repro.commands.measure:parser"
    ),
    "theory": Command(
        "Check both papers' theorems, lemmas and remarks by experiment: numbers, figures, a page, a verdict each.",
        "repro.commands.theory:parser",
    ),
    "landscape": Command(
        "Draw the loss surface around a trained network, over two directions.", "repro.commands.landscape:parser"
    ),
    "data": Command(
        "Prepare, check and show data sets: on a login node, before training, which never downloads.",
        "repro.commands.data:parser",
    ),
    "doctor": Command(
        "Check a machine for a study or a configuration, before a cluster does: one line a check.",
        "repro.commands.doctor:parser",
    ),
    "wandb-sync": Command(
        "Send the records of runs and studies to Weights & Biases, as often as you like: only what is new is sent.",
        "repro.commands.wandb_sync:parser",
    ),
    "demo": Command(
        "Train PlainNet, ResNet and ResNeXt of 110 layers on real digits and report their conditioning.",
        "repro.commands.demo:parser",
    ),
    "help": Command("Explain a topic or a command: repro help TOPIC.", "repro.commands.help:parser"),
}
