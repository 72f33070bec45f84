"""What a command that hands jobs to SLURM can be told about them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from repro.cluster.sbatch import Resources, require_setup
from repro.commands.options import Request, option
from repro.errors import UserError, refusing
from repro.records.files import read_whole
from repro.text import say


class OnSlurm(Request):
    """A request that ends in jobs of SLURM's."""

    partition: str | None = option("SLURM partition", default=None)
    account: str | None = option("SLURM account", default=None)
    qos: str | None = option("quality of service", default=None)
    constraint: str | None = option("features that nodes must have, such as a100 or 'a100|h100'", default=None)
    mem: str | None = option("memory of a node, such as 64G", default=None)
    gres: str | None = option(
        "GPUs by the names of your cluster, such as gpu:a100:2, in place of --gpus-per-node", default=None
    )
    time: str | None = option(
        f"time limit of a job, as sbatch takes it (default: {Resources.time}); a run continues in the next job",
        default=None,
    )
    setup: Path | None = option(
        "file with shell lines that every job runs first, such as module load or source", default=None, metavar="FILE"
    )
    resubmit: bool = option(
        "if SLURM cancels a job to make room for another (PreemptMode=CANCEL), submit it again", default=False
    )
    further: tuple[str, ...] = option(
        "another option of sbatch, such as --sbatch=--mail-type=END; may be repeated",
        default=(),
        flag="--sbatch",
        action="append",
        metavar="OPTION",
    )
    dry_run: bool = option("print the job scripts; write and submit nothing", default=False)

    def resources(self) -> Resources:
        """What is asked of SLURM; `UserError` if an option cannot be taken, or the setup cannot be read."""
        extra = of_sbatch("--sbatch", self.further)
        if self.gres is not None and any(word.startswith("--gpus") for word in extra):
            raise UserError("SLURM would add up --gres and --sbatch=--gpus...; give one of the two")
        if replacing := sorted(name for name in os.environ if name.startswith("SBATCH_")):
            say(f"{', '.join(replacing)} in your environment replace options of the scripts")
        return Resources(
            time=self.time or Resources.time,
            partition=self.partition,
            account=self.account,
            qos=self.qos,
            constraint=self.constraint,
            mem=self.mem,
            gres=self.gres,
            extra=extra,
            setup="" if self.setup is None else _setup(self.setup),
            resubmit=self.resubmit,
        )


def of_sbatch(flag: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Options of sbatch, each a word; several may stand in one text, quoted as for a shell."""
    words: list[str] = []
    for text in texts:
        try:
            words += shlex.split(text)
        except ValueError as error:
            raise UserError(f"{flag} is '{text}', which cannot be split into words: {error}") from error
    for word in words:
        if not word.startswith("--"):
            raise UserError(f"{flag} is '{word}'; allowed: options of sbatch, such as {flag}=--account=physics")
    return tuple(words)


def _setup(path: Path) -> str:
    with refusing(f"cannot read --setup '{path}'"):
        content = read_whole(path)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"--setup '{path}' is no UTF-8 text; it takes lines of shell") from error
    require_setup(text, f"--setup '{path}'")
    return text
