"""A YAML file as a mapping: as JSON has it, no key twice, and nothing that runs code. Free of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from repro.errors import UserError


class _Unwanted(yaml.YAMLError):
    """YAML that we do not take."""


# libyaml's reader is ten times as fast; PyYAML can be built without it.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):
    """YAML as JSON has it, no key twice, and nothing that the parser of arguments would import.

    Of a key that is there twice the last would win without a word, and a set or a date would have another text, and
    so another run's name, in every process or not at all.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, every key of which is a plain value and is there once."""
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if not isinstance(key, str | int | float | bool | None):
                raise _Unwanted(f"line {line} has a key that is neither text nor a number")
            if key == "class_path":  # jsonargparse imports what it names, wherever any value is allowed
                raise _Unwanted(f"line {line} has the key class_path; code is named by model.network and data.name")
            if key in lines:
                raise _Unwanted(f"key '{key}' is there twice, in lines {lines[key]} and {line}; leave one out")
            lines[key] = line
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _refused(_loader: _Loader, node: yaml.Node) -> Any:
    kind = node.tag.rpartition(":")[2].lstrip("!")
    line = node.start_mark.line + 1
    hint = "; put it in quotes if it is text" if kind == "timestamp" else ""
    raise _Unwanted(f"line {line} has a {kind}; allowed: texts, numbers, true, false, null, lists and mappings{hint}")


for _kind in ("set", "omap", "pairs", "timestamp", "binary"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _refused)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UserError: There is no such file, it is not YAML, a key is there twice, or it holds something else.
    """
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)  # a safe loader
    except OSError as error:
        raise UserError(f"cannot read configuration file '{path}': {error.strerror}") from error
    except _Unwanted as error:
        raise UserError(f"'{path}': {error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"'{path}' is not YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"'{path}' holds a {type(content).__name__}; a configuration file holds keys and values")
    return content
