"""`analyze.py serve`: the live page of a checkpoint, on this machine only."""

from __future__ import annotations

from pathlib import Path

from lookwhy.errors import missing_package

REMEMBERED = 4
"""Images whose occluded features stay in memory: 25 MB each for VGG's pool5, 4 MB for its fc7."""


def serve(checkpoint: Path, port: int = 7860, device: str = "cpu") -> None:
    """Serve the live page until it is interrupted.

    Args:
        checkpoint: path of the checkpoint whose model answers.
        port: port of 127.0.0.1; 0 takes any free one.
        device: device to compute on.

    Raises:
        LookwhyError: the extra `serve` is not installed, the checkpoint or device does not exist, or the port
            is taken.
        KeyboardInterrupt: someone pressed Ctrl-C, the usual end.
    """
    try:
        from lookwhy.live.server import HOST, listen, live_app, run
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise missing_package("starlette uvicorn", "serve", error) from error
    from lookwhy import api

    with listen(port) as listener:
        app = live_app(api.load(checkpoint, device, REMEMBERED).explainer)
        print(f"ask at  http://{HOST}:{listener.getsockname()[1]}  (Ctrl-C ends it)", flush=True)
        run(app, listener)
