"""Places of a run's W&B files, and whether the run goes to a server: settled before the run starts."""

from __future__ import annotations

import configparser
import netrc
import os
from pathlib import Path
from urllib.parse import urlsplit

_DEFAULT_HOSTS = ("api.forge.coreweave.com", "api.wandb.ai")
"""W&B's own server by its present and its former name; a key is valid for both."""


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
    }
    if not os.environ.get("WANDB_MODE") and not has_credentials():
        # W&B stays silent, because `prepare_environment` says where the run lies.
        wanted |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    return {name: value for name, value in wanted.items() if not os.environ.get(name)}


def prepare_environment(run_folder: Path) -> str:
    """Set these variables before a run starts; returns one sentence about where the run goes."""
    chosen = os.environ.get("WANDB_MODE")
    os.environ.update(offline_environment(run_folder))
    folder = Path(os.environ["WANDB_DIR"]) / "wandb"
    if chosen:
        return f"W&B: {chosen}, as WANDB_MODE says; files in {folder}"
    if os.environ.get("WANDB_MODE") == "offline":
        return f"W&B: no API key found, so the run stays offline in {folder} (look: wandb leet {folder})"
    return f"W&B: API key found, logging to {_server() or 'its own server'}; files in {folder}"


def has_credentials() -> bool:
    """Whether W&B finds an API key: in the environment, in netrc or in its settings file."""
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
            # Not `authenticators`, because its "default" entry for any host is no W&B key.
            if hosts & set(netrc.netrc(os.path.expanduser(file)).hosts):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def _server() -> str:
    """Address of the server that the user has chosen; empty for W&B's own."""
    return os.environ.get("WANDB_BASE_URL") or _settings().get("base_url") or ""


def _settings() -> dict[str, str]:
    """The `default` section of W&B's settings file; empty if there is none."""
    folder = os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(Path(folder).expanduser() / "settings")
    except configparser.Error:
        return {}
    return dict(parser["default"]) if parser.has_section("default") else {}
