"""Where a run's W&B files lie, and whether it goes to a server: settled before the run is started."""

from __future__ import annotations

import configparser
import netrc
import os
from pathlib import Path
from urllib.parse import urlsplit

_DEFAULT_HOSTS = ("api.forge.coreweave.com", "api.wandb.ai")
"""W&B's own server, by its present and by its former name: a key for one is a key for the other."""


def offline_environment(run_folder: Path) -> dict[str, str]:
    """Environment variables that keep all of W&B inside a run's folder, and offline without an API key.

    Images in tables and artifacts are staged in W&B's data folder, logs in its cache: both belong beside
    the run, or its files end up in the home folder. What the user has set stays as it is. W&B's own
    settings folder is left alone: it is only read, and may name the server.
    """
    root = run_folder.resolve()
    wanted = {
        "WANDB_DIR": str(root),
        "WANDB_DATA_DIR": str(root / "wandb" / "staging"),
        "WANDB_CACHE_DIR": str(root / "wandb" / "cache"),
        "WANDB_ARTIFACT_DIR": str(root / "wandb" / "artifacts"),
    }
    if not os.environ.get("WANDB_MODE") and not has_credentials():
        # Nothing to say about a run that goes nowhere: `prepare_environment` says where it lies.
        wanted |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    return {name: value for name, value in wanted.items() if not os.environ.get(name)}


def prepare_environment(run_folder: Path) -> str:
    """Set those variables, before a run is started; returns one sentence about where the run goes."""
    chosen = os.environ.get("WANDB_MODE")
    os.environ.update(offline_environment(run_folder))
    folder = Path(os.environ["WANDB_DIR"]) / "wandb"
    if chosen:
        return f"W&B: {chosen}, as WANDB_MODE says; files in {folder}"
    if os.environ.get("WANDB_MODE") == "offline":
        return f"W&B: no API key found, so the run stays offline in {folder} (look: wandb leet {folder})"
    return f"W&B: API key found, logging to {_server() or 'its own server'}; files in {folder}"


def has_credentials() -> bool:
    """Whether W&B could log in: by environment, netrc, or its own settings file."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    if _settings().get("api_key"):
        return True
    host = urlsplit(_server()).hostname or _DEFAULT_HOSTS[0]
    hosts = set(_DEFAULT_HOSTS if host in _DEFAULT_HOSTS else [host])
    for file in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc"):
        if not file:
            continue
        try:
            # Not `authenticators`: its answer for any host ("default") is no W&B key.
            if hosts & set(netrc.netrc(os.path.expanduser(file)).hosts):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def _server() -> str:
    """The server that the user has chosen; empty for W&B's own."""
    return os.environ.get("WANDB_BASE_URL") or _settings().get("base_url") or ""


def _settings() -> dict[str, str]:
    """The `default` section of W&B's settings file."""
    folder = os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(Path(folder).expanduser() / "settings")
    except configparser.Error:
        return {}
    return dict(parser["default"]) if parser.has_section("default") else {}
