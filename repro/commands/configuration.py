"""Commands that take a configuration: its keys are flags beside the command's own options."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repro.commands.options import Asked, Request, add_options, description, request_of, trust_option
from repro.config import Config, configuration_parser, parse
from repro.data import DATASETS
from repro.measurements import MEASUREMENTS
from repro.networks import NETWORKS
from repro.runs.validation import CODE_KEYS


@dataclass(frozen=True, kw_only=True)
class ConfiguredRequest(Request):
    """What is asked for, with a configuration."""

    config: Config
    base: Config
    """What the configuration's files alone say."""
    trust: tuple[str, ...] = trust_option()


class ConfigurationParser:
    """The parser of a command that takes a configuration.

    Args:
        command: A key of `repro.commands.COMMANDS`.
        kind: Of its requests, the fields of which are its own options.
        do: What it does.
        examples: What may follow it.
        start: The configuration that flags build on, by the command's own options. Default: the schema's.
    """

    def __init__(
        self,
        command: str,
        kind: type[ConfiguredRequest],
        do: Callable[[Any], int],
        examples: Sequence[str],
        start: Callable[[Mapping[str, Any]], Config | None] = lambda _own: None,
    ) -> None:
        self._kind, self._do, self._start = kind, do, start
        notes = {
            "model.network": f"Families: {', '.join(NETWORKS)} (repro help networks).",
            "data.name": f"Names: {', '.join(DATASETS)} (repro help data).",
            "measure.measurements": f"Names: {', '.join(MEASUREMENTS)} (repro help measurements).",
        }
        self.parser = configuration_parser(f"repro {command}", description=description(command, examples), notes=notes)
        add_options(self.parser, kind)

    def read(self, arguments: Sequence[str]) -> Asked:
        """Read flags and files. Code that a flag names is trusted, as it was typed.

        Raises:
            UserError: A mistake in them.
        """
        written = parse(arguments, self.parser, start=self._start)
        request = request_of(self._kind, written.own, config=written.config, base=written.base)
        code = [str(name) for key in CODE_KEYS if ":" in str(name := written.typed.get(key, ""))]
        return Asked(self._do, dataclasses.replace(request, trust=(*request.trust, *code)))
