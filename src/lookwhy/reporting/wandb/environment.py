"""Chooses, before a run starts, the folders of its W&B files and whether it is sent to a server."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import wandb
from wandb.errors import AuthenticationError, UsageError
from wandb.errors import Error as StartError
from wandb.sdk.lib.wbauth import read_netrc_auth

from lookwhy.errors import LookwhyError, printable

__all__ = [
    "StartError",
    "after_breakdown",
    "go_offline",
    "has_credentials",
    "offline_environment",
    "prepare_environment",
]


def offline_environment(run_folder: Path) -> dict[str, str]:
    """Environment variables that keep all W&B files inside a run folder, and W&B offline without an API key.

    W&B stages images and artifacts in its data folder and logs in its cache; by default both lie in the home
    folder. Variables set by the user stay. W&B's settings folder is only read; it may name the server.
    """
    root = run_folder.resolve()
    wanted = {
        "WANDB_DIR": str(root),
        "WANDB_DATA_DIR": str(root / "wandb" / "staging"),
        "WANDB_CACHE_DIR": str(root / "wandb" / "cache"),
        "WANDB_ARTIFACT_DIR": str(root / "wandb" / "artifacts"),
        # Seconds that a training waits for the server before it goes on offline.
        "WANDB_INIT_TIMEOUT": "30",
        # Seconds that uploads may take after a training: by default W&B waits without end for a lost server.
        "WANDB_FINISH_TIMEOUT": "300",
        # W&B sends its own error reports to the same server: a server that hangs would delay the exit.
        "WANDB_ERROR_REPORTING": "false",
    }
    if not os.environ.get("WANDB_MODE") and not has_credentials():
        # W&B stays silent, because `prepare_environment` says where the run lies.
        wanted |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    return {name: value for name, value in wanted.items() if not os.environ.get(name)}


def prepare_environment(run_folder: Path) -> str:
    """Set the variables of `offline_environment`; returns one sentence about where the run goes."""
    chosen = os.environ.get("WANDB_MODE")
    os.environ.update(offline_environment(run_folder))
    folder = printable(str(_folder()))
    if chosen:
        return f"W&B: {chosen}, as WANDB_MODE says; files in {folder}"
    if os.environ.get("WANDB_MODE") == "offline":
        return f"W&B: no API key found, so the run stays offline in {folder} (look: wandb leet {folder})"
    return f"W&B: API key found, logging to {_settings().base_url}; files in {folder}"


def go_offline(error: Exception) -> str:
    """Switch to offline mode after the server refused a run; returns one sentence about it."""
    wandb.teardown()  # the running service would refuse the id of the failed run
    os.environ["WANDB_MODE"] = "offline"
    # The message without its line breaks and without W&B's advice.
    reason = printable(" ".join(str(error).partition("\nConsider")[0].split())).removesuffix(".")
    folder = _folder()
    return (
        f"W&B: no run on {_settings().base_url} ({reason}); the run goes on offline in {folder} "
        f"(send it later: wandb sync {folder / 'offline-run-*'})"
    )


def after_breakdown(error: Exception, consequence: str) -> str:
    """Forget W&B's service after it broke down (killed, or out of memory); returns one sentence about it.

    The files that it wrote are kept, and a new service continues the run of the same id.
    """
    with suppress(Exception):  # it cannot end what is broken
        wandb.teardown()
    wandb.run = None
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"W&B: its service broke down ({reason}); {consequence}, and the files before stay in {_folder()}"


def has_credentials() -> bool:
    """Whether W&B finds credentials: in the environment, its settings file or netrc."""
    settings = _settings()
    try:
        found = settings.api_key or settings.identity_token_file or read_netrc_auth(host=settings.base_url)
        return bool(found)
    except AuthenticationError:  # no W&B key, such as the password of netrc's `default` entry
        return False


def _settings() -> wandb.Settings:
    """Settings as `wandb.init` will read them: W&B's settings file, then the environment.

    Raises:
        LookwhyError: W&B refuses one of them.
    """
    folder = os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb"
    try:
        settings = wandb.Settings(quiet=True)
        settings.settings_system = str(Path(folder).expanduser() / "settings")
        settings.update_from_system_settings()
        settings.update_from_env_vars(dict(os.environ))
    except (UsageError, ValueError) as error:
        raise LookwhyError(
            f"expected settings that W&B accepts, found: {' '.join(str(error).split())}; correct the "
            "environment variable WANDB_.. or leave W&B out with --trainer.logger=false"
        ) from error
    return settings


def _folder() -> Path:
    return Path(os.environ["WANDB_DIR"]) / "wandb"
