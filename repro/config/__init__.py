"""Configuration of a run: schema, YAML and flags, identity. Imports neither torch nor Lightning."""

from repro.config.bounds import require_name, require_plain
from repro.config.fields import docs
from repro.config.flags import configuration_parser, typed
from repro.config.identity import determining, former_identities, identity, run_name, signature
from repro.config.parsing import Written, checked, flatten, from_mapping, load, parse, to_flat, to_yaml
from repro.config.schema import (
    Config,
    DataConfig,
    LogConfig,
    MeasureConfig,
    ModelConfig,
    TrainerConfig,
    TrainingConfig,
)
from repro.config.shipped import configurations
from repro.config.yaml_file import dump_yaml, read_yaml

__all__ = [
    "Config",
    "DataConfig",
    "LogConfig",
    "MeasureConfig",
    "ModelConfig",
    "TrainerConfig",
    "TrainingConfig",
    "Written",
    "checked",
    "configuration_parser",
    "configurations",
    "determining",
    "docs",
    "dump_yaml",
    "flatten",
    "former_identities",
    "from_mapping",
    "identity",
    "load",
    "parse",
    "read_yaml",
    "require_name",
    "require_plain",
    "run_name",
    "signature",
    "to_flat",
    "to_yaml",
    "typed",
]
