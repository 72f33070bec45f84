"""Runs of one's own, told apart by what differs between their settings rather than by names that end in a hash."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from repro.config import Config, determining
from repro.figures.style import title

_NETWORK = "model.network"
_MOST = 40
"""Characters of a value."""


def told_apart(
    configurations: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> tuple[list[str], dict[str, dict[str, str]]]:
    """A label for each run, by its configuration and its folder's name, and by label what differs, by heading.

    The label of a run is the name that its user gave it, or else its network and the settings that differ, without
    those that are not set. Runs that differ in their seed alone share a label: they are several seeds of one.
    """
    settings = [_flat(configuration) for configuration in configurations]
    differing = [key for key in determining(Config()) if len({repr(each.get(key)) for each in settings}) > 1]
    differing = [key for key in differing if key not in ("seed", _NETWORK)]
    labels, columns = [], {}
    for configuration, flat, name in zip(configurations, settings, names, strict=True):
        values = {_heading(key): str(flat[key])[:_MOST] for key in differing if flat.get(key) is not None}
        network = str(flat.get(_NETWORK, name))
        given = configuration.get("name")
        label = str(given) if given else ", ".join([network, *(f"{key} {value}" for key, value in values.items())])
        labels.append(label if len(names) > 1 else re.sub(r"-[0-9a-f]{8}$", "", name))
        columns[labels[-1]] = {} if len(names) == 1 else {**values, "network": title(network)}
    seeds = [configuration.get("seed", 0) for configuration in configurations]
    times = Counter(zip(labels, seeds, strict=True))
    for number, (label, seed, name) in enumerate(zip(list(labels), seeds, names, strict=True)):
        if times[label, seed] > 1:  # nothing tells them apart but the folder
            labels[number] = f"{label}, {name}"
            columns[labels[number]] = columns[label]
    return labels, columns


def _heading(key: str) -> str:
    return "data set" if key == "data.name" else key.rpartition(".")[2].replace("_", " ")


def _flat(configuration: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in configuration.items():
        flat |= {f"{key}.{name}": inner for name, inner in value.items()} if isinstance(value, dict) else {key: value}
    return flat
