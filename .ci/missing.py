"""Print `ok` if the Python that runs this has the packages of pyproject.toml, or one line that says what it lacks.

    python .ci/missing.py [EXTRA...]

The Makefile asks it about a Python that the user named (`PYTHON=...`), which is used as it is. Standard library only.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def release(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: a vendor's torch calls itself 2.11.0a0+git and is new enough for 2.11."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(number) for number in match[0].split(".")) if match else ()


def missing(requirements: list[str]) -> list[str]:
    """Those of `requirements`, each "name>=bound", that are absent here or older than their bound."""
    found = []
    for requirement in requirements:
        name, bound = requirement.split(">=")
        try:
            installed = version(name)
        except PackageNotFoundError:
            found.append(name)
            continue
        if release(installed) < release(bound):
            found.append(f"{requirement} (has {installed})")
    return found


if __name__ == "__main__":
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    requirements = list(project["dependencies"])
    for extra in sys.argv[1:]:
        requirements += project["optional-dependencies"][extra]
    lacking = missing(requirements)
    target = f"'.[{','.join(sys.argv[1:])}]'" if sys.argv[1:] else "."
    print(f"it lacks {', '.join(lacking)}; install with: pip install -e {target}" if lacking else "ok")
