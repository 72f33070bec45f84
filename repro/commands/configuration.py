"""Commands that take a configuration: its keys are flags beside the command's own options."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from repro.commands.options import Action, Asked, Request, add_options, description, request_of, trust_option
from repro.config import Config, configuration_parser, parse
from repro.data import DATASETS
from repro.measurements import MEASUREMENTS
from repro.measurements.registry import listing
from repro.networks import NETWORKS
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
    """The parser of a command that takes a configuration.

    Args:
        command: A key of `repro.commands.COMMANDS`.
        examples: What may follow it.
        action: What it does; the fields of its requests are its own options.
        start: The configuration that flags build on, by the command's own options. Default: the schema's.
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
        request = request_of(
            self._action.kind, written.own, config=written.config, base=written.base, typed=written.typed
        )
        code = [str(name) for key in CODE_KEYS if ":" in str(name := written.typed.get(key, ""))]
        return Asked(self._action.do, dataclasses.replace(request, trust=(*request.trust, *code)))
