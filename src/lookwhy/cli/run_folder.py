"""Choice of a run's folder: that of the resumed run, or a new one that no other training has taken."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from shutil import rmtree

from pytorch_lightning.utilities import rank_zero_only

from lookwhy.errors import LookwhyError
from lookwhy.files import make_folder

RUN_FOLDER = "LOOKWHY_RUN_FOLDER"
"""Environment variable with the run folder, for the processes that Lightning starts."""
CLAIM = ".claimed"
"""File that exists in a run folder from the moment at which a training takes it."""
NEW = "new"
"""First line of that file if the training made the folder, too; then its Slurm job, machine and process."""


def is_first_process() -> bool:
    """Whether this is rank 0 of all nodes, by the variables that Lightning, torchrun and Slurm set."""
    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]


def choose(runs: Path, name: str, checkpoint: Path | None) -> Path:
    """The folder of the resumed run, or runs/<name>, with a number if it is taken.

    Only the first process takes a folder. torchrun and Slurm start all processes at once, without the
    environment variable; the other processes then take the plain name and write nothing.

    Raises:
        LookwhyError: the name is none, or the folder cannot be made.
    """
    if RUN_FOLDER in os.environ:
        return Path(os.environ[RUN_FOLDER])
    if not {*Path(name).parts} or ".." in Path(name).parts or Path(name).is_absolute():
        raise LookwhyError(
            f"expected a --name that makes a folder below --runs, found {name!r}; give another"
        )
    wanted = runs / name
    if "WANDB_SWEEP_ID" in os.environ:
        # Sweep agents may start at the same time; the id of the W&B run makes the names unique.
        wanted = wanted.with_name(f"{wanted.name}-{os.environ.get('WANDB_RUN_ID', '')}")
    if checkpoint and checkpoint.parent.name == "checkpoints":
        run = make_folder(checkpoint.parent.parent)
    else:
        run, number = wanted, 2
        while is_first_process() and not _take(run):
            run, number = wanted.with_name(f"{wanted.name}-{number}"), number + 1
    if is_first_process():
        os.environ[RUN_FOLDER] = str(run)
    return run


def requeued(runs: Path, name: str) -> Path | None:
    """The last checkpoint of a Slurm job that has been queued again, from the run folder that it took."""
    job, wanted = os.environ.get("SLURM_JOB_ID"), runs / name
    if not job or os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        return None
    for claim in wanted.parent.glob(f"{wanted.name}*/{CLAIM}"):
        last = claim.parent / "checkpoints" / "last.ckpt"
        if claim.read_text().split("\n")[1:2] == [job] and last.is_file():
            return last
    return None


def give_back(is_used: bool) -> None:
    """Forget this process's run folder, and remove it unless the training came so far as to use it."""
    run = Path(os.environ.pop(RUN_FOLDER, ""))
    claim = run / CLAIM
    # The processes of ddp_spawn train in place of this one, which cannot know from `is_used`.
    is_used = is_used or (run / "config.yaml").exists() or (run / "checkpoints").exists()
    if is_used or not is_first_process() or not claim.is_file():
        return
    if claim.read_text().startswith(NEW):
        rmtree(run, ignore_errors=True)  # all in it was written by this training, which was refused
        with suppress(OSError):  # it may hold more
            run.parent.rmdir()
    else:
        claim.unlink()


def _take(run: Path) -> bool:
    """Take a folder for this process, unless it holds a run or another process has taken it."""
    if (run / "config.yaml").exists() or (run / "checkpoints").exists():
        return False
    claim, own = run / CLAIM, f"{socket.gethostname()}\n{os.getpid()}"
    is_new = not run.exists()
    if _is_of_dead_process(claim):
        # It was killed before it wrote anything. If two processes find this, only one can rename the file.
        with suppress(OSError):
            left = claim.rename(run / f"{CLAIM}.{os.getpid()}")
            is_new = left.read_text().startswith(NEW)
            left.unlink()
    make_folder(run)
    try:
        with claim.open("x") as file:  # of two processes, one succeeds
            file.write(f"{NEW if is_new else 'old'}\n{os.environ.get('SLURM_JOB_ID', '')}\n{own}")
    except FileExistsError:
        return False
    return True


def _is_of_dead_process(claim: Path) -> bool:
    """Whether a process of this machine took the folder, and runs no more."""
    try:
        _, _, host, number = claim.read_text().split("\n")
        process = int(number)
    except (OSError, ValueError):  # there is none, or another process is writing it now
        return False
    if host != socket.gethostname() or not hasattr(os, "fork"):  # os.kill of Windows ends a process
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it is someone else's
        pass
    return False
