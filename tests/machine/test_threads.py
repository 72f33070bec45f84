from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from repro.errors import UserError
from repro.machine import allowed, limit, prepare, prepared, threads, told

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(threads, "processors", lambda **_: 2)
    monkeypatch.setattr(threads, "_most", None)
    return


@pytest.mark.parametrize(
    ("given", "most"), [(None, 2), ("1", 1), ("2", 2), ("64", 2), (" 2 ", 2), ("1,4", 1), ("4, 2", 2)]
)
def test_what_the_user_sets_is_an_upper_limit(given: str | None, most: int) -> None:
    environment = {} if given is None else {"OMP_NUM_THREADS": given}
    assert limit(environment) == most
    prepare(environment)
    assert allowed() == most
    assert environment == {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    assert prepared()


@pytest.mark.parametrize("policy", ["ACTIVE", "passive"])
def test_how_threads_wait_stays_as_the_user_has_it(policy: str) -> None:
    environment = {"OMP_WAIT_POLICY": policy}
    prepare(environment)
    assert environment["OMP_WAIT_POLICY"] == policy


@pytest.mark.parametrize(
    ("name", "value"),
    [("OMP_NUM_THREADS", value) for value in ("0", "", "abc", "-1", "1.5", "2,", ",")]
    + [("OMP_WAIT_POLICY", value) for value in ("nonsense", "")],
)
def test_what_they_do_not_take_is_refused_and_nothing_is_changed(name: str, value: str) -> None:
    environment = {name: value}
    with pytest.raises(UserError, match=f"{name} is '{value}'; allowed: "):
        prepare(environment)
    assert environment == {name: value}
    assert not prepared()


def test_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(1) == "2 processors; 1 thread a process"
    assert told(4, 3) == "2 processors; 3 processes at once, 4 threads a process"
    monkeypatch.setattr(threads, "processors", lambda **_: 1)
    assert told(1) == "1 processor; 1 thread a process"


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    command = [sys.executable, "-c", program]
    here = {**kept, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, env=here, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_importing_the_package_changes_nothing() -> None:
    done = python(
        "import os, json; before = dict(os.environ); import repro, repro.cli; repro.measure; repro.build\n"
        "print(json.dumps({n: v for n, v in os.environ.items() if n.startswith('OMP') or before.get(n) != v}))"
    )
    changed = json.loads(done.stdout)
    assert not [name for name in changed if name.startswith("OMP")], changed


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"OMP_NUM_THREADS": "0"}, "repro: OMP_NUM_THREADS is '0'; allowed: 1 or more, as an upper limit; or unset it"),
        ({"OMP_WAIT_POLICY": "x"}, "repro: OMP_WAIT_POLICY is 'x'; allowed: PASSIVE, ACTIVE; or unset it"),
    ],
)
def test_on_the_command_line_a_mistake_is_one_line(environment: dict[str, str], text: str) -> None:
    done = python(
        "import sys; sys.argv = ['repro', 'study', 'list']; from repro.cli import main; main()", **environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{text}\n")


@pytest.mark.slow
def test_on_the_command_line_torch_finds_one_thread() -> None:
    program = (
        "import sys; import repro.cli as cli; import repro.commands.runs as runs\n"
        "def look(request):\n    import os, torch\n"
        "    print(torch.get_num_threads(), os.environ['OMP_WAIT_POLICY'])\n    return 0\n"
        "runs._ACTIONS['list'] = runs._ACTIONS['list']._replace(do=look)\n"
        "sys.argv = ['repro', 'runs', 'list']; cli.main()"
    )
    assert python(program, OMP_NUM_THREADS="64").stdout == "1 PASSIVE\n"
