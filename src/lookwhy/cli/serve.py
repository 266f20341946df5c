"""`analyze.py serve`: a page on this machine to ask one's own questions in, and to take things away."""

from __future__ import annotations

import os
import socket
import time
import warnings
from pathlib import Path
from typing import Any

from PIL import Image

from lookwhy.cli.explain import load_explainer
from lookwhy.errors import LookwhyError, missing_package

HOST = "127.0.0.1"
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_NUM_WORKERS": "0",
    "GRADIO_RUN_HISTORY": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}
"""Environment in which Gradio reports to no one, writes nothing and opens no second server."""
REMEMBERED = 4
"""Images whose occluded features are held: 25 MB each for VGG's pool5, 4 for its fc7, far less for shapes."""


def serve(checkpoint: Path, port: int = 7860, device: str = "cpu") -> None:
    """Serve the page until it is interrupted.

    Args:
        checkpoint: whose model answers.
        port: of 127.0.0.1; 0 takes any free one.
        device: where to compute.

    Raises:
        LookwhyError: no Gradio, no such checkpoint or device, or a port that is taken.
        KeyboardInterrupt: the way to end it.
    """
    port = _free_port(port)
    server = _gradio_server()
    # Its modules need what Gradio brings.
    from lookwhy.cli.live import Live, find_examples
    from lookwhy.cli.web import add_routes
    from lookwhy.reporting.live import live_page

    explainer = load_explainer(checkpoint, device, REMEMBERED)
    live, examples = Live(explainer), find_examples(explainer)
    live.warm_up()
    # Uploads have a stricter limit of their own.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    add_routes(server, live, live_page(explainer, examples), examples)
    _launch(server, port)
    print(f"ask at  http://{HOST}:{port}  (Ctrl-C ends it)", flush=True)
    try:
        while True:
            time.sleep(3600)
    finally:
        server.get_blocks().close(verbose=False)


def _gradio_server() -> Any:
    # Before the import, which reads them: nothing is sent to anyone, and no proxy stands before this machine.
    os.environ.update(QUIET)
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), HOST, "localhost")))
    try:
        from gradio import Server
    except ImportError as error:
        raise missing_package("gradio starlette", "serve", error) from error
    return Server(openapi_url=None, docs_url=None, redoc_url=None)


def _free_port(port: int) -> int:
    if not 0 <= port <= 65535:
        raise LookwhyError(f"expected a --port from 0 to 65535, found {port}; 7860 is usual")
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError as error:
            raise LookwhyError(
                f"expected port {port} of {HOST} to be free, found it is not ({error.strerror}); end what "
                "uses it, or give --port 0 for any free one"
            ) from error
        return int(trial.getsockname()[1])


def _launch(server: Any, port: int) -> None:
    try:
        server.launch(
            server_name=HOST,
            server_port=port,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            inbrowser=False,
            inline=False,
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            root_path="",
        )
    except OSError as error:
        raise LookwhyError(
            f"expected to serve on port {port} of {HOST}, found no way to ({error}); give another --port"
        ) from error
