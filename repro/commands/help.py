"""`repro help`: what the commands do, and what is there, as the registries have it."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import partial

from repro import importing
from repro.commands import COMMANDS, parser_of
from repro.commands.options import Action, Request, argument, command_parser
from repro.errors import unknown

STATUS = {
    "0": "finished, or stopped by --budget",
    "1": "a run or a check failed, or a checkpoint could not be written",
    "2": "a mistake in the command or a file; one line on stderr names it",
    "128 + n": "stopped by signal n, with a checkpoint; 130 is Ctrl-C",
}


class _Help(Request):
    topic: str | None = argument("a topic or a command", nargs="?", default=None, metavar="TOPIC")


def main(request: _Help) -> int:
    """Print a topic, a command's help, or what there is."""
    topic = request.topic
    if topic is None or topic in TOPICS:
        print("\n".join(TOPICS[topic]() if topic else _overview()))
    elif topic in COMMANDS:
        parser_of(topic).read(["--help"])  # prints, and leaves
    else:
        raise unknown("topic", topic, [*TOPICS, *COMMANDS])
    return 0


parser = partial(command_parser, examples=("networks", "exit-status", "fit"), actions=Action(_Help, main))


def _overview() -> Iterator[str]:
    yield "usage: repro COMMAND ..."
    yield "\nReproduce, extend and check two papers on why skip connections make very deep networks trainable.\n"
    yield from (f"  {name:10} {text}" for name, text in COMMANDS.items())
    yield "\nrepro COMMAND --help explains each; repro help TOPIC: " + ", ".join(TOPICS) + "."
    yield "docs/ has the formulas, every option and the Python API; make docs builds its pages."


def _networks() -> Iterator[str]:
    from repro.config import ModelConfig, docs
    from repro.networks import NETWORKS, Options
    from repro.networks.options import CHOSEN, choices

    yield f"--model.network: {docs(ModelConfig)['network']}\n"
    for name, family in NETWORKS.items():
        depths = f", depths {family.depths(Options()).text}" if family.depths else ""
        takes = ", ".join(option for option in CHOSEN if option in family.takes)
        says = (inspect.getdoc(family.spec) or "").partition("\n")[0]
        yield _entry(name, f"{says} Such as {family.example(name)}{depths}; takes {takes}")
    yield "\nEach option is a flag, --model.OPTION:\n"
    for name in CHOSEN:
        names = f" ({', '.join(choices(name))})" if choices(name) else ""
        yield _entry(name, docs(ModelConfig)[name] + names)


def _data() -> Iterator[str]:
    from repro.commands.data import lines

    yield "--data.name, and repro data prepare|check|show NAME:\n"
    yield from (f"  {line}" for line in lines())
    yield "\nYour own: --data.name package.module:Name, a torch Dataset or a LightningDataModule (docs/your-own.md)."


def _measurements() -> Iterator[str]:
    from repro.measurements.registry import listing

    yield "--measure.measurements of repro fit, --measurements of repro measure:\n"
    yield listing()


def _studies() -> Iterator[str]:
    from repro.commands.study import lines

    yield "repro study plan|run|submit|status|report|keep NAME --preset SIZE; sizes in brackets, the default first:\n"
    yield from (f"  {line}" for line in lines())


def _trust() -> Iterator[str]:
    yield (importing.__doc__ or "").partition("\n\n")[2].rstrip()


def _slurm() -> Iterator[str]:
    from repro.cluster.scripts import SCRIPTS

    yield f"repro doctor: {COMMANDS['doctor']}"
    yield "repro doctor --rehearse: Stop small runs on the cluster in several ways, and report whether they resume."
    yield f"repro submit: {COMMANDS['submit']}"
    yield "repro study submit NAME: Submit the missing runs of a study to SLURM. By hand:"
    for name, job in SCRIPTS.items():
        yield "\n".join([f"\nsbatch/{name}.sbatch", *(f"  {line}" for line in job.title)])


def _wandb() -> Iterator[str]:
    from repro.config import LogConfig, docs

    yield from (f"repro {name}: {COMMANDS[name]}" for name in ("wandb-sync", "sweep"))
    yield ""
    yield from (_entry(f"--log.{name}", text) for name, text in docs(LogConfig).items())


TOPICS: dict[str, Callable[[], Iterator[str]]] = {
    "networks": _networks,
    "data": _data,
    "measurements": _measurements,
    "studies": _studies,
    "trust": _trust,
    "slurm": _slurm,
    "wandb": _wandb,
    "exit-status": lambda: (_entry(status, meaning) for status, meaning in STATUS.items()),
}


def _entry(name: str, text: str) -> str:
    return textwrap.fill(f"{name:20} {text}", 100, initial_indent="  ", subsequent_indent=" " * 23)
