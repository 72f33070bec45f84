"""Inputs of `benchmarks/breaks.py`: what a stranger plants beside and in a run, places that hold other files, Python."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from breaks_inputs import (
    FIT,
    FOLDER,
    HALF,
    HANDLED,
    REFUSED,
    RUN,
    STUDY,
    STUDY_FILE,
    Case,
    World,
    _all,
    _limit,
    _nothing,
    _ordinary,
    _write,
)
from breaks_lately import (
    _COMMANDS,
    HERE,
    NEW,
    _config,
    _link,
    _python,
    _spectra,
    _to,
    _without,
)
from breaks_strangers import COMMANDS, REPORT

GOES_ON = [*FIT, "--seed", "1"]
MEASURE = ["measure", RUN, "--probe-size", "16"]
SPECTRA = ["spectra", RUN, "--out", "spectra"]
RUN_TWO = ["study", "run", "small.yaml", "--seed", "5", "6", "--jobs", "2"]
VICTIM = "PRECIOUS\n"


def _console() -> None:
    """The same command as the program `repro`, which does not look for modules where one stands."""
    place = Path("..", "bin")
    place.mkdir(exist_ok=True)
    (place / "repro").write_text("import repro.cli\nrepro.cli.main()\n")
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    os.execve(sys.executable, [sys.executable, str(place.resolve() / "repro"), *sys.argv[1:]], environment)


def _not_run(world: World) -> str | None:
    return "a stranger's code ran" if list(world.rglob("PWNED")) else None


EVIL = "import pathlib\npathlib.Path('PWNED').touch()\nraise ImportError('evil')\n"


def beside() -> Iterator[Case]:
    """Files where one stands that programs read, or Python imports."""
    broken = _write("matplotlibrc", b"\xff\xfe\xff: \xff\n")
    tex = _write("matplotlibrc", "text.usetex: True\ntext.latex.preamble: \\immediate\\write18{touch PWNED}\n")
    module = _all(_write("matplotlibrc", "backend: module://evil\n"), _write("evil.py", EVIL))
    odd = _write("matplotlibrc", "font.size: 40\nsavefig.dpi: 3\nsavefig.bbox: tight\naxes.xmargin: 9\nsvg.fonttype: path\nlines.linewidth: x\nnot a line\n")
    for name, plant in {"bytes": broken, "TeX": tex, "a module": module, "other sizes": odd}.items():
        for what, command in {"report": REPORT, "spectra": SPECTRA, "measure": MEASURE}.items():
            yield Case("a matplotlibrc where one stands", f"{name}, {what}", command, _all(_spectra({}), plant), before=_console, wanted=HANDLED, check=_not_run)
    modules = _all(*(_write(f"{name}.py", EVIL) for name in ("torch", "numpy", "yaml", "wandb", "timm", "PIL", "lightning", "sitecustomize", "usercustomize", "readline", "tensorboard", "mlflow")))
    for name, command in {
        "study run": RUN_TWO,
        "fit": NEW,
        "workers": [*FOLDER, "--data.workers", "1"],
        "report": REPORT,
        "doctor": ["doctor", "small.yaml"],
        "plan, timed": ["study", "plan", "small.yaml", "--measure", "--seed", "8"],
        "two processes": [*NEW, "--trainer.devices", "2"],
    }.items():
        yield Case("modules where one stands", name, command, modules, before=_console, check=_not_run)

    def repository(world: World) -> None:
        (world / ".git").mkdir()
        (world / ".git/HEAD").write_text("ref: refs/heads/main\n")
        (world / ".git/config").write_text("[core]\n\trepositoryformatversion = 0\n\tfsmonitor = touch PWNED; false\n\tpager = touch PWNED\n[diff]\n\texternal = touch PWNED\n")
        for name in ("objects", "refs"):
            (world / ".git" / name).mkdir()

    for name, command, environment in (("fit", NEW, {"WANDB_MODE": "offline"}), ("measure", MEASURE, {}), ("report", REPORT, {})):
        yield Case("a repository where one stands", name, command, repository, environment=environment, check=_not_run)
    for name, content in {"another service": "[default]\nbase_url = http://127.0.0.1:9\nmode = online\nproject = evil\nentity = evil\n", "no settings": "\0[", "a run's id": "[default]\nrun_id = evil\nrun_name = evil\n"}.items():
        for what, command in {"fit": NEW, "sync": ["wandb-sync", RUN]}.items():
            yield Case("W&B's settings where one stands", f"{name}, {what}", command, _write("wandb/settings", content), before=_console, environment={"WANDB_MODE": "offline", "WANDB_API_KEY": "x" * 40}, wanted=HANDLED if what == "fit" else (), check=_wandb_is_ours)
    mine = {**STUDY_FILE, "base": {**STUDY_FILE["base"], "model.network": "evil:Net"}}
    yield Case("a study called as ours where one stands", "oyedotun-linear", ["study", "plan", "oyedotun-linear", "--preset", "smoke"], _all(_write("configs/studies/oyedotun-linear.yaml", yaml.safe_dump(mine)), _write("evil.py", EVIL)), wanted=HANDLED, check=_not_run)


def _wandb_is_ours(world: World) -> str | None:
    for path in world.rglob("*.wandb"):
        if b"evil" in path.read_bytes():
            return "W&B's run is called as a stranger's file says"
    return None


def _victims(world: World) -> None:
    """Files of the user's that lie beside the runs."""
    (world / "mine").mkdir()
    for name in ("a.txt", "step-00000001.ckpt", "step-00000002.ckpt", "step-00000003.ckpt", "index.html", "surface.json", "features-0.npy"):
        (world / "mine" / name).write_text(VICTIM)


def _safe(world: World) -> str | None:
    for name in ("a.txt", "step-00000001.ckpt", "step-00000002.ckpt", "step-00000003.ckpt", "index.html", "features-0.npy"):
        path = world / "mine" / name
        if not path.exists() or path.read_text(errors="replace") != VICTIM:
            return f"mine/{name} is {'changed' if path.exists() else 'gone'}"
    return None


def links() -> Iterator[Case]:
    """Links in a stranger's run that lead to the user's files, and commands that write there."""
    def to(name: str, run: str = HALF, target: str = "a.txt") -> Callable[[World], object]:
        up = "../" * ((run + "/" + name).count("/"))
        return _all(_victims, _link(f"{run}/{name}", f"{up}mine/{target}"))

    clean = ["runs", "clean", "--delete", "--keep", "0"]
    yield Case("links to one's own files", "checkpoints, cleaned", clean, to("checkpoints", RUN, ""), check=_safe)
    yield Case("links to one's own files", "features, cleaned", clean, to("features-0.npy", RUN), check=_safe)
    yield Case("links to one's own files", "checkpoints, going on", GOES_ON, to("checkpoints", HALF, ""), check=_safe)
    for name in ("metrics.jsonl", "readings.jsonl", "spectra.jsonl", "state.json", "environment.json", "config.yaml", "lock", "features-0.npy", "wandb", "checkpoints/step-99999999.ckpt"):
        yield Case("links to one's own files", f"{name}, going on", [*GOES_ON, "--measure.measurements", "[]"], to(name), check=_safe)
    for name in ("readings.jsonl", "spectra.jsonl"):
        measured = [*FIT, "--seed", "1", "--measure.measurements", "[weights]", "--measure.probe_size", "16", "--measure.spectra", "true"]
        yield Case("links to one's own files", f"{name}, measured while it trains", measured, to(name), check=_safe)
    for name, target in (("landscape", ""), ("landscape/values-1of1.jsonl", "a.txt"), ("landscape/surface.png", "a.txt")):
        yield Case("links to one's own files", f"{name}, a surface", ["landscape", RUN, "--points", "3"], to(name, RUN, target), check=_safe)
    yield Case("links to one's own files", "the study's report", ["study", "report", "small.yaml"], to("report", STUDY, ""), check=_safe)
    for name in ("logs/0.1-seed5.log", "logs/0.1-seed5.yaml", "manifest.json"):
        yield Case("links to one's own files", f"{name}, a study", RUN_TWO, to(name, STUDY), check=_safe)
    for name, command in {"index.html": REPORT, "figures": REPORT, ".memory.json.gz": REPORT, "spectra.csv": ["spectra", RUN, "--out", "page"], "readings.csv": [*MEASURE, "--out", "page"]}.items():
        yield Case("links to one's own files", f"{name} of a page", command, _all(_victims, _spectra({}), _link(f"page/{name}", "../mine" if name == "figures" else "../mine/a.txt")), check=_safe)
    yield Case("links to one's own files", "a card's weights", ["card", RUN, "--out", "card"], _all(_victims, _write("card/README.md", "library_name: repro\n"), _link("card/model.safetensors", "../mine/a.txt")), check=_safe)
    yield Case("links to one's own files", "kept", ["study", "keep", "small.yaml"], _all(_victims, lambda world: [_link(f"results/small-cpu/{path.name}", "../../mine")(world) for path in (world / STUDY).glob("0.1-*")]), check=_safe)


def _digest(world: World, *names: str) -> dict[str, bytes]:
    return {name: (world / name).read_bytes() for name in names if (world / name).is_file()}


def _keeps(*names: str) -> dict[str, Any]:
    """A setup's part and a check: that these files stay as they were."""
    def note(world: World) -> None:
        place = world / ".noted"
        for name in names:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            if (world / name).is_file():
                shutil.copy(world / name, place / name)

    def look(world: World) -> str | None:
        for name in names:
            if (before := world / ".noted" / name).is_file() and (not (world / name).is_file() or (world / name).read_bytes() != before.read_bytes()):
                return f"{name} is lost"
        return None

    return {"note": note, "look": look}


RECORDS = tuple(f"{RUN}/{name}" for name in ("config.yaml", "state.json", "environment.json", "metrics.jsonl", "readings.jsonl", "spectra.jsonl"))


def places() -> Iterator[Case]:
    """Results into a folder that holds other things."""
    readings = json.dumps({"step": 0, "epochs": 0, "measurement": "weights", "layer": 1, "name": "a", "mode": "matrix", "values": {"condition_number": 2.0, "largest": 2.0, "smallest": 1.0}}) + "\n"
    rich = _all(_spectra({}), _write(f"{RUN}/readings.jsonl", readings))
    own = {"index.html": "<p>mine", "tables.md": "mine", "base.yaml": "title: mine", "sweep.yaml": "mine: 1", "forecast.md": "mine", "forecast.svg": "mine", "spectra.csv": "mine", "readings.csv": "mine", "readings.jsonl": "mine", "surface.png": "mine", "README.md": "mine", "figures/weights.png": "mine", "theory.md": "mine", "manifest.json": "[]", "style.css": "mine"}
    mine = _all(*(_write(f"site/{name}", content) for name, content in own.items()))
    names = tuple(f"site/{name}" for name in own)
    run_files, site_files = _keeps(*RECORDS), _keeps(*names)
    commands: dict[str, list[Any]] = {
        "measure": [*MEASURE, "--spectra"],
        "measure without spectra": MEASURE,
        "spectra": ["spectra", RUN],
        "report": ["report", "runs"],
        "study report": ["study", "report", "small.yaml"],
        "landscape": ["landscape", RUN, "--points", "3"],
        "sweep": ["sweep", "small.yaml"],
        "card": ["card", RUN],
        "theory": ["theory", "nguyen-tables"],
    }
    for name, command in commands.items():
        yield Case("results into a run", name, [*command, "--out", RUN], _all(rich, run_files["note"]), check=run_files["look"])
        yield Case("results into a folder of one's own", name, [*command, "--out", "site"], _all(rich, mine, site_files["note"]), check=site_files["look"])
        if name != "measure without spectra":
            yield Case("results where they were", name, [*command, "--out", "twice"], rich, before=partial(_first, [*command, "--out", "twice"]), wanted=HANDLED)
    yield Case("results into a folder of one's own", "keep", ["study", "keep", "small.yaml", "--results", "site"], _all(mine, site_files["note"]), check=site_files["look"])
    for name, target in {"a file": "small.yaml", "a pipe": "pipe", "/dev/full": "/dev/full", "/dev/null/x": "/dev/null/x", "/proc/1/x": "/proc/1/x", "a dangling link": "dangling", "a ring": "ring"}.items():
        for what in ("measure", "sweep", "report"):
            setup = _all(lambda world: os.mkfifo(world / "pipe"), _link("dangling", "nowhere/x"), _link("ring", "ring"))
            yield Case("results into what is no folder", f"{name}, {what}", [*commands[what], "--out", target], setup)
    yield Case("results into what is no folder", "a picture into a folder", ["data", "show", "MNIST5k", "--out", "images.png"], lambda world: (world / "images.png").mkdir(), wanted=REFUSED)
    yield Case("results into what is no folder", "a picture without a folder", ["data", "show", "MNIST5k", "--images", "4", "--out", "a/b/c.png"], wanted=HANDLED)


def _first(command: list[Any]) -> None:
    """The same command once before."""
    if not (process := os.fork()):
        from repro import cli

        os._exit(cli.run(list(map(str, command))))
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, "the first time it failed"


MORE: dict[str, list[Any]] = {
    "study run": ["study", "run", "small.yaml", "--seed", "5", "--jobs", "1"],
    "study run, two": RUN_TWO,
    "study submit": ["study", "submit", "small.yaml", "--dry-run", "--seed", "5"],
    "study forecast": ["study", "forecast", "runs"],
    "runs show": ["runs", "show", RUN],
    "runs clean": ["runs", "clean", "--delete"],
    "validate": ["validate", RUN],
    "data prepare": ["data", "prepare", "ImageFolder", "--root", "new", "--from", "images"],
    "data show": ["data", "show", "MNIST5k", "--images", "4"],
    "wandb-sync": ["wandb-sync", "runs", "--dry-run"],
    "theory one": ["theory", "nguyen-tables", "--out", "theory"],
    "images": [*FOLDER, "--data.workers", "1"],
    "measure by name": ["measure", "timm/resnet10t", "--images", "images/train", "--probe-size", "4"],
    "help": ["--help"],
    "version": ["--version"],
    "study help": ["study", "run", "--help"],
    "a mistake": ["fit", "--unknown"],
}


def pythons() -> Iterator[Case]:
    """Other ways to start Python, and other streams, of the commands that were not tried."""
    for name, command in MORE.items():
        for what, options in {"-OO": ["-OO"], "-W error": ["-W", "error"], "-X dev": ["-X", "dev"]}.items():
            yield Case(f"python {what}, further commands", name, command, before=partial(_python, *options))
    for name, command in {**MORE, "fit": NEW, "landscape": COMMANDS["landscape"], "card": _COMMANDS["card"]}.items():
        yield Case("no standard input", name, command, before=partial(_without, 0))
    for name in ("study run", "runs show", "data show", "theory one", "help", "version", "study help", "wandb-sync", "data prepare"):
        yield Case("a full standard output, further commands", name, MORE[name], before=partial(_to, "/dev/full"), wanted=("stopped",))
        yield Case("no streams at all, further commands", name, MORE[name], before=partial(_without, 0, 1, 2))
    yield Case("a pipe that nobody reads", "a mistake", ["theory", "--list"], before=_pipe_of_4096)


def _pipe_of_4096() -> None:
    """A pipe that is full at once, and is read a second later."""
    import fcntl

    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(theirs, False)
    os.dup2(theirs, 1)

    if not os.fork():
        time.sleep(1)
        while os.read(ours, 4096):
            time.sleep(0.01)
        os._exit(0)
    _python()


def _variable(**variables: str | None) -> None:
    """Variables set (or not: None), then the command in a Python of its own."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    _python()


def _gone() -> None:
    """The folder where one stands is removed."""
    Path("gone").mkdir()
    os.chdir("gone")
    Path("../gone").rmdir()


def _umask(mask: int) -> None:
    os.umask(mask)
    _ordinary()


def environments() -> Iterator[Case]:
    """Odd environments."""
    some: dict[str, list[Any]] = {"fit": NEW, "report": REPORT, "measure": MEASURE}
    for name, command in some.items():
        for what, variables in {
            "HOME unset": {"HOME": None},
            "HOME /dev/null": {"HOME": "/dev/null"},
            "HOME relative": {"HOME": "x"},
            "HOME empty": {"HOME": ""},
            "TMPDIR not there": {"TMPDIR": "/nowhere"},
            "PATH unset": {"PATH": None},
            "PATH empty": {"PATH": ""},
            "USER unset": {"USER": None, "LOGNAME": None},
            "LC_ALL C": {"LC_ALL": "C"},
            "LC_ALL C without UTF-8 mode": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            "Turkish": {"LC_ALL": "tr_TR.UTF-8"},
            "an encoding": {"PYTHONIOENCODING": "ascii:strict"},
            "an encoding of no codec": {"PYTHONIOENCODING": "utf-16"},
            "no bytecode": {"PYTHONDONTWRITEBYTECODE": "1"},
            "a safe path": {"PYTHONSAFEPATH": "1"},
            "unbuffered": {"PYTHONUNBUFFERED": "1"},
            "warnings are errors": {"PYTHONWARNINGS": "error"},
            "optimised": {"PYTHONOPTIMIZE": "2"},
            "one column": {"COLUMNS": "1"},
            "columns abc": {"COLUMNS": "abc"},
            "columns huge": {"COLUMNS": "9" * 30},
            "a backend": {"MPLBACKEND": "module://evil"},
            "a matplotlibrc": {"MATPLOTLIBRC": "/nowhere/x"},
            "caches in /dev/null": {"XDG_CACHE_HOME": "/dev/null", "XDG_CONFIG_HOME": "/dev/null", "MPLCONFIGDIR": "/dev/null", "TORCH_HOME": "/dev/null", "HF_HOME": "/dev/null", "WANDB_CONFIG_DIR": "/dev/null"},
            "threads of none": {"OMP_NUM_THREADS": "", "MKL_NUM_THREADS": "x", "NUMEXPR_MAX_THREADS": "x"},
            "frozen modules off": {"PYTHONNODEBUGRANGES": "1", "PYTHONHASHSEED": "random"},
        }.items():
            if list(some).index(name) and len(what) % 3:
                continue
            yield Case("variables, lately", f"{what}, {name}", command, before=partial(_variable, **variables))
    for columns in ("1", "0", "-1", "abc", "9" * 30):
        for command in (["fit", "--help"], ["study", "run", "--help"], ["--help"], ["theory", "--list"]):
            if columns in ("1", "abc") or command[0] == "fit":
                yield Case("columns of a terminal", f"{columns[:5]}, {' '.join(command)}", command, environment={"COLUMNS": columns}, before=_python, wanted=HANDLED)
    here: dict[str, list[Any]] = {"runs list": ["runs", "list"], "fit": FIT, "report": ["report", "runs"], "study list": ["study", "list"], "help": ["--help"], "fit help": ["fit", "--help"], "data list": ["data", "list"], "submit": ["submit", "c.yaml", "--dry-run"], "measure": MEASURE, "sweep": ["sweep", "oyedotun-linear"]}
    for name, command in here.items():
        yield Case("a folder that was removed where one stands", name, command, before=_gone)
        yield Case("a folder that was removed where one stands, from its start", name, command, before=lambda: (_gone(), _python()))
    for mask in (0o777, 0o277, 0o000):
        for name, command in {"fit": NEW, "report": REPORT, "study run": MORE["study run"], "sweep": ["sweep", "small.yaml"], "prepare": MORE["data prepare"]}.items():
            yield Case("a umask", f"{mask:03o}, {name}", command, before=partial(_umask, mask))
    for name, content in {"prints": "print('hello'); import sys; print('hello', file=sys.stderr)", "raises": "raise ValueError('mine')", "changes": "import warnings; warnings.simplefilter('error')", "logs": "import logging; logging.basicConfig(level=0)"}.items():
        for what, command in some.items():
            yield Case("a sitecustomize", f"{name}, {what}", command, _write("path/sitecustomize.py", content), before=_with_path, wanted=HANDLED, own_traceback=True)
    for name, limit in {"NPROC 1": (resource.RLIMIT_NPROC, 1), "STACK 64 kB": (resource.RLIMIT_STACK, 2**16), "CORE 0": (resource.RLIMIT_CORE, 0), "AS 3 GB": (resource.RLIMIT_AS, 3 * 2**30), "CPU 3 s": (resource.RLIMIT_CPU, 3), "MEMLOCK 0": (resource.RLIMIT_MEMLOCK, 0)}.items():
        for what, command in {"fit": NEW, "report": REPORT, "study run": RUN_TWO, "workers": [*FOLDER, "--data.workers", "1"]}.items():
            yield Case("limits of a process", f"{name}, {what}", command, before=partial(_nobody_with, *limit) if "NPROC" in name else partial(_limit, *limit))
    for name, dispose in {"SIGCHLD ignored": (signal.SIGCHLD, signal.SIG_IGN), "SIGINT ignored": (signal.SIGINT, signal.SIG_IGN), "SIGPIPE ignored": (signal.SIGPIPE, signal.SIG_IGN), "SIGHUP ignored": (signal.SIGHUP, signal.SIG_IGN), "SIGTERM ignored": (signal.SIGTERM, signal.SIG_IGN)}.items():
        for what, command in {"fit": NEW, "study run": RUN_TWO, "workers": [*FOLDER, "--data.workers", "1"]}.items():
            yield Case("signals as the caller left them", f"{name}, {what}", command, before=partial(_disposed, *dispose), wanted=HANDLED)
    for what, command in {"fit": NEW, "study run": RUN_TWO}.items():
        yield Case("signals as the caller left them", f"all blocked, {what}", command, before=_blocked, wanted=HANDLED)
        yield Case("a user without a name", what, command, _world_writable, before=_nameless, wanted=HANDLED)


def _with_path() -> None:
    environment = {**os.environ, "PYTHONPATH": f"{Path.cwd()}/path:{HERE}"}
    os.execve(sys.executable, [sys.executable, "-m", "repro", *sys.argv[1:]], environment)


def _nobody_with(which: int, value: int) -> None:
    os.chmod(".", 0o777)  # noqa: PTH101
    for path in Path().rglob("*"):
        if not path.is_symlink():
            path.chmod(0o777)
    os.setgid(54_321)
    os.setuid(54_321)
    _limit(which, value)


def _disposed(number: int, handler: Any) -> None:
    signal.signal(number, handler)
    _python()


def _blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD})
    _python()


def _world_writable(world: World) -> None:
    for path in (world.parent, world, *world.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o777)


def _nameless() -> None:
    os.setgid(54_321)
    os.setuid(54_321)
    os.environ.pop("HOME", None)
    _python()


ODD = {
    "blanks": "a  b ",
    "a percent sign": "100%s %d %(x)s",
    "quotes": "a'b\"c`d",
    "a line break": "a\nb",
    "bytes": os.fsdecode(b"a\xff\xfeb"),
    "right to left": "\u05d0\u202e\u05d1",
    "a dollar": "$HOME$(touch PWNED)",
    "a hyphen": "-x",
    "two hyphens": "--help",
    "brackets": "[a-z]*{b,c}?",
    "a colon": "a:b;c|d&e",
    "a tilde": "~",
    "a backslash": "a\\nb",
    "a hash": "#a",
    "composed": "e\u0301",
}


def names() -> Iterator[Case]:
    """Odd names of the folder where one stands, of files and of options' values."""
    for name, text in ODD.items():
        for what, command in {"fit": NEW, "report": REPORT, "study run": RUN_TWO, "submit": ["submit", "c.yaml", "--dry-run"], "sweep": ["sweep", "small.yaml"], "going on": GOES_ON}.items():
            if (list(ODD).index(name) + len(what)) % 2:
                yield Case("odd names of the folder where one stands", f"{name}, {what}", command, _config(), before=partial(_inside, text), check=_not_run)
        path = f"{text}.yaml"
        for what, command in {"fit": [*FIT, "--config"], "plan": ["study", "plan"], "submit": ["submit", "--dry-run"], "doctor": ["doctor"]}.items():
            if (list(ODD).index(name) + len(what)) % 2:
                content = yaml.safe_dump(STUDY_FILE | {"name": "fine"}) if what == "plan" else yaml.safe_dump({**STUDY_FILE["base"], "seed": 9})
                yield Case("odd names of a file", f"{name}, {what}", [*command, path], _write(path, content), check=_not_run)
        for what, command in {"runs": [*NEW, "--runs"], "out": ["report", "runs", "--out"], "measured": [*MEASURE, "--out"], "kept": ["study", "keep", "small.yaml", "--results"], "root": ["data", "check", "ImageFolder", "--root"]}.items():
            if (list(ODD).index(name) + len(what)) % 2:
                setup = (lambda world, text=text: (world / "images").rename(world / text)) if what == "root" else _nothing
                yield Case("odd names of a place", f"{name}, {what}", [*command[:-1], f"{command[-1]}={text}"], setup, check=_not_run)


def _inside(name: str) -> None:
    """In a folder of this name, with all that was here."""
    place = Path(name)
    place.mkdir()
    for path in list(Path().iterdir()):
        if path != place:
            path.rename(place / path.name)
    os.chdir(place.absolute())
    sys.path.insert(0, str(Path.cwd()))


KINDS = (beside, links, places, pythons, environments, names)


def table() -> list[Case]:
    """All of them."""
    return [case for kind in KINDS for case in kind()]
