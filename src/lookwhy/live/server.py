"""The web server of the live page: five routes on 127.0.0.1, open to pages of this server only."""

from __future__ import annotations

import json
import socket
import traceback
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lookwhy.analysis.explain import Explainer
from lookwhy.errors import LookwhyError
from lookwhy.live.calls import Calls
from lookwhy.live.frame import MEDIA_TYPES, Example, find_examples, live_page
from lookwhy.live.uploads import MAX_BYTES

HOST = "127.0.0.1"
MAX_CALL = 256 * 1024
"""Maximum size in bytes of a call other than an image."""
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Endpoint = Callable[[Request], Awaitable[Response]]


class TooLargeError(LookwhyError):
    """The body of a request exceeds its limit."""

    status = 413


class Gate:
    """Middleware that refuses requests from any page but this server's own.

    Another site in the same browser can send requests to this machine in two ways: through a host name of its
    own that resolves to 127.0.0.1 (then `Host` is that name), or across sites (then `Origin` is its own).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        headers, port = Headers(scope=scope), scope["server"][1]
        names = (HOST, "localhost")
        hosts = {f"{name}:{port}" for name in names}
        if port == 80:  # browsers leave the default port out
            hosts.update(names)
        host, origin = headers.get("host"), headers.get("origin")
        if host in hosts and origin in (None, f"http://{host}"):
            await self._app(scope, receive, send)
        else:
            await _error("this server answers its own page only", 403)(scope, receive, send)


def listen(port: int) -> socket.socket:
    """Return a socket that listens on a port of 127.0.0.1; port 0 takes any free one.

    Raises:
        LookwhyError: the port does not exist or is taken.
    """
    if not 0 <= port <= 65535:
        raise LookwhyError(f"expected a --port from 0 to 65535, found {port}; 7860 is usual")
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise LookwhyError(
            f"expected port {port} of {HOST} to be free, found it is not ({error.strerror}); end the program "
            "that uses it, or give --port 0 for any free one"
        ) from error


def live_app(explainer: Explainer) -> Starlette:
    """Build the application of the live page, and explain once so that the first question is not slower.

    Raises:
        LookwhyError: a method of the plan cannot explain this model.
    """
    calls, examples = Calls(explainer), find_examples(explainer)
    calls.warm_up()
    # Pillow warns about very large images on stderr; the limit of `read_upload` is lower.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    app = Starlette(
        routes=_routes(calls, live_page(explainer, examples), examples),
        middleware=[Middleware(Gate)],
        exception_handlers={
            404: _nothing_here,
            405: _nothing_here,
            LookwhyError: _refusal,
            ClientDisconnect: _refusal,
            Exception: _failure,
        },
    )
    app.router.redirect_slashes = False
    return app


def run(app: ASGIApp, listener: socket.socket) -> None:
    """Serve an application until it is interrupted.

    Raises:
        KeyboardInterrupt: someone pressed Ctrl-C.
    """
    config = uvicorn.Config(
        app,
        # Fixed choices, independent of other installed packages.
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        # Bad requests get a reply but no log line; `_failure` prints errors of this server.
        log_config=None,
        log_level="critical",
        # An upload that stalls must not keep Ctrl-C waiting.
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _routes(calls: Calls, page: str, examples: list[Example]) -> list[Route]:
    paths = {str(number): example.image for number, example in enumerate(examples)}

    async def front(request: Request) -> Response:
        return HTMLResponse(page, headers=SECURITY_HEADERS)

    async def example(request: Request) -> Response:
        number = request.path_params["number"]
        if number not in paths:
            raise LookwhyError(f"expected one of {len(paths)} examples, found {number}; reload the page")
        if not paths[number].is_file():
            raise LookwhyError(
                f"expected the image of example {number}, found no file {paths[number]}; it was moved or "
                "deleted: choose another example or an image of your own"
            )
        kind = MEDIA_TYPES[paths[number].suffix.lower()]
        return FileResponse(paths[number], media_type=kind, headers=SECURITY_HEADERS)

    async def image(request: Request) -> Response:
        refusal = f"expected an image of at most {MAX_BYTES // 2**20} MB, found more; choose a smaller file"
        content = await _body(request, MAX_BYTES, refusal)
        return _json(await run_in_threadpool(calls.look, content))

    def call(answer: Callable[[Any], Any]) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            refusal = f"expected a call of at most {MAX_CALL // 1024} kB, found more; shorten it"
            text = await _body(request, MAX_CALL, refusal)
            try:
                content = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise LookwhyError("expected JSON, found something else in the call; send JSON") from error
            return _json(await run_in_threadpool(answer, content))

        return endpoint

    return [
        Route("/", front),
        Route("/example/{number}", example),
        Route("/image", image, methods=["POST"]),
        Route("/ask", call(calls.ask), methods=["POST"]),
        Route("/change", call(calls.change), methods=["POST"]),
    ]


async def _body(request: Request, limit: int, refusal: str) -> bytes:
    """Read a body of at most `limit` bytes; the rest of a larger body is not kept.

    Raises:
        TooLargeError: the body is larger; the message is `refusal`.
        ClientDisconnect: the client left before the end.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > 8 * limit:
            break  # read on until here, because a browser receives the reply only after sending
    if size > limit:
        raise TooLargeError(refusal)
    return b"".join(parts)


def _json(content: Any, status: int = 200) -> Response:
    text = json.dumps(content, ensure_ascii=True, allow_nan=False)
    return Response(text, status, media_type="application/json", headers=SECURITY_HEADERS)


def _error(message: str, status: int) -> Response:
    return _json({"error": message}, status)


async def _refusal(request: Request, error: Exception) -> Response:
    return _error(str(error), getattr(error, "status", 400))


async def _nothing_here(request: Request, error: Exception) -> Response:
    return _error("there is nothing here", 404)


async def _failure(request: Request, error: Exception) -> Response:
    traceback.print_exception(error)
    return _error("the server failed; its terminal shows the error", 500)
