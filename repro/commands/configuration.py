"""Commands that take a configuration: its keys are flags beside the command's own options."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from repro.commands.options import Action, Asked, Request, add_options, description, request_of, trust_option
from repro.config import Config, ModelConfig, configuration_parser, parse
from repro.config.parsing import Written
from repro.data import DATASETS
from repro.measurements import MEASUREMENTS
from repro.measurements.registry import listing
from repro.networks import NETWORKS
from repro.networks.external import left_out
from repro.networks.options import CHOSEN
from repro.runs.validation import CODE_KEYS


class ConfiguredRequest(Request):
    """A request of a command that takes a configuration."""

    config: Config
    base: Config
    """The configuration that the files alone make, without the flags."""
    typed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What the flags say, by key."""
    trust: tuple[str, ...] = trust_option()


class ConfigurationParser:
    """The parser of a command whose action takes a configuration; the other fields of its requests are its own options.

    `start` makes the configuration that flags build on of the command's own options; None: the schema's.
    """

    def __init__(
        self,
        command: str,
        examples: Sequence[str],
        action: Action,
        start: Callable[[Mapping[str, Any]], Config | None] = lambda _own: None,
    ) -> None:
        self._action, self._start = action, start
        notes = {
            "model.network": f"Families: {', '.join(NETWORKS)} (repro help networks).",
            "data.name": f"Names: {', '.join(DATASETS)} (repro help data).",
            "measure.measurements": f"Names: {', '.join(MEASUREMENTS)} (repro help measurements).",
        }
        metadata = [entry.metadata for entry in dataclasses.fields(action.kind)]
        names = [f"[{entry['metavar']}]" for entry in metadata if entry.get("flag", "") is None]
        self._parser = configuration_parser(f"repro {command}", notes)
        self._parser.usage = " ".join([f"repro {command}", *names, "[OPTION VALUE ...]"])
        self._parser.description = description(command, examples)
        self._parser.epilog = listing()
        add_options(self._parser, action.kind)

    def read(self, arguments: Sequence[str]) -> Asked:
        """What flags and files ask for; `UserError` for a mistake. Code that a flag names is trusted: it was typed."""
        written = parse(arguments, self._parser, start=self._start)
        config, base = _without_untaken(written)
        request = request_of(self._action.kind, written.own, config=config, base=base, typed=written.typed)
        names = [written.typed.get(key, "") for key in CODE_KEYS]
        names += [name for key in ("measurements", "every_n_steps") for name in written.typed.get(f"measure.{key}", ())]
        code = [str(name) for name in names if ":" in str(name)]
        return Asked(self._action.do, dataclasses.replace(request, trust=(*request.trust, *code)))


def _without_untaken(written: Written) -> tuple[Config, Config]:
    """Both configurations without what the files say of a network of ours, where a flag names one from elsewhere."""
    if "model.network" not in written.typed:
        return written.config, written.base
    model, usual = vars(written.config.model), vars(ModelConfig())
    said = {f"model.{key}": model[key] for key in CHOSEN if model[key] != usual[key]}
    keys = left_out(model["network"], {key: value for key, value in said.items() if key not in written.typed})
    dropped = {key.removeprefix("model."): usual[key.removeprefix("model.")] for key in keys}
    config, base = (
        dataclasses.replace(each, model=dataclasses.replace(each.model, **dropped))
        for each in (written.config, written.base)
    )
    return config, base
