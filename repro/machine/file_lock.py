"""Locks of the file system, which end with the process that has them."""

from __future__ import annotations


def lock_file(number: int) -> bool | None:
    """Lock an open file or folder, unless another process has; None where there are no locks."""
    try:
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True
