"""To go when all have moved."""

from repro.distributed.ranks import Ranks as Share

__all__ = ["Share"]
