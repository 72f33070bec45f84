"""Run directories: what a run leaves, and reading it back. Does not import torch."""

from repro.records.environment import environment, now
from repro.records.files import NO_SPACE, append_lines, dump_json, no_link, read_lines, replace_files, replace_text
from repro.records.folder import put, require_free
from repro.records.keeping import keep
from repro.records.run_directory import ENDED, MANIFEST, RunDirectory, find_runs, find_studies
from repro.records.spectrum import append_spectra, derived, spectra
from repro.records.tables import metrics, readings, to_csv

__all__ = [
    "ENDED",
    "MANIFEST",
    "NO_SPACE",
    "RunDirectory",
    "append_lines",
    "append_spectra",
    "derived",
    "dump_json",
    "environment",
    "find_runs",
    "find_studies",
    "keep",
    "metrics",
    "no_link",
    "now",
    "put",
    "read_lines",
    "readings",
    "replace_files",
    "replace_text",
    "require_free",
    "spectra",
    "to_csv",
]
