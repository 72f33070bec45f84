"""Options and commands that there were once: what to use in their place, and old files that still have them."""

from __future__ import annotations

from repro.errors import UserError

GONE = {
    "data pack": "pack the folder below --root with any archiver: tar -c, or copy it with rsync",
    "data unpack": "unpack into --root what you packed, then run repro data check NAME",
    "--stack": "leave it out: runs train in processes of their own (--jobs)",
    "trainer.graph": "--trainer.compile network --trainer.compile_mode reduce-overhead launches a step as CUDA graphs",
}
"""By what was written: a command, a flag, a key of a configuration."""


def refuse_gone(name: str) -> None:
    """Raise, saying what to use, for a name in `GONE`; a key may be given as a flag."""
    key = name.removeprefix("--") if name.removeprefix("--") in GONE else name
    if key in GONE:
        raise UserError(f"{name} was removed; {GONE[key]}")
