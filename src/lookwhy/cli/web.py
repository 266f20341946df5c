"""The live page's web server: Gradio's, with everything shut that the page itself does not ask for.

Gradio brings routes that fetch addresses and read files for a client. None of them is reachable here: a gate
lets through the page's own few paths and nothing else, and only for pages that came from this very server.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lookwhy.cli.live import MEDIA_TYPES, ForgottenError, Live
from lookwhy.data.uploads import MAX_BYTES, too_large
from lookwhy.errors import LookwhyError
from lookwhy.reporting.live import Example

MAX_CALL = 256 * 1024
"""Bytes of a call that is no image."""
STARTED = "/gradio_api/startup-events"
"""What Gradio asks itself once when it starts."""
OPEN = re.compile(rf"(GET|HEAD) /|GET /example/\d{{1,3}}|POST /(image|ask|change)|GET {re.escape(STARTED)}")
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Gate:
    """Refuses all that the page does not ask for, and whoever is not on a page of this server.

    A page of the web that the reader has open elsewhere can send requests to this machine, too: by its own
    name made to mean 127.0.0.1 (then `Host` is that name), or from where it is (then `Origin` is).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        port = scope["server"][1]
        hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        hosts |= {"127.0.0.1", "localhost"} if port == 80 else set()
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in hosts or origin not in (None, f"http://{host}"):
            await _told("this server answers its own page only", 403)(scope, receive, send)
        elif not OPEN.fullmatch(f"{scope['method']} {scope['path']}"):
            await _told("there is nothing here", 404)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def add_routes(app: Any, live: Live, page: str, examples: list[Example]) -> None:
    """Give a Starlette application (Gradio's) the page and its calls, behind the gate."""

    async def front(request: Request) -> Response:
        return HTMLResponse(page, headers=HEADERS)

    async def example(request: Request) -> Response:
        number = int(request.path_params["number"])

        def read() -> Response:
            if number >= len(examples):
                raise LookwhyError(f"expected an example from 0 to {len(examples) - 1}, found {number}")
            path = examples[number].image
            return Response(path.read_bytes(), media_type=MEDIA_TYPES[path.suffix.lower()], headers=HEADERS)

        return await _answer(read)

    async def image(request: Request) -> Response:
        content = await _body(request, MAX_BYTES)
        if content is None:
            return _told(str(too_large()), 413)
        return await _answer(lambda: _json(live.look(content)))

    def call(act: Callable[[Any], Any]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            content = await _body(request, MAX_CALL)
            if content is None:
                return _told(f"expected a call of at most {MAX_CALL // 1024} kB, found more; shorten it", 413)
            return await _answer(lambda: _json(act(_parsed(content))))

        return answer

    app.router.routes += [
        Route("/", front),
        Route("/example/{number:int}", example),
        Route("/image", image, methods=["POST"]),
        Route("/ask", call(live.ask), methods=["POST"]),
        Route("/change", call(live.change), methods=["POST"]),
    ]
    app.add_middleware(Gate)


async def _body(request: Request, most: int) -> bytes | None:
    """What was sent; None where it is more than it may be, which is then not kept."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size <= most:
            parts.append(part)
        elif size > 8 * most:
            break  # read on so far, that the client hears why; a browser is deaf while it sends
    return b"".join(parts) if size <= most else None


async def _answer(work: Callable[[], Response]) -> Response:
    """Do the work in a thread; whatever goes wrong is told, and the server goes on."""
    try:
        return await run_in_threadpool(work)
    except ForgottenError as error:
        return _told(str(error), 410)
    except LookwhyError as error:
        return _told(str(error), 400)
    except Exception:
        traceback.print_exc()
        return _told("something went wrong here; the terminal of the server says what", 500)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise LookwhyError("expected JSON, found something else in the call; send JSON") from error


def _json(content: Any, status: int = 200) -> Response:
    text = json.dumps(content, ensure_ascii=True, allow_nan=False)
    return Response(text, status, media_type="application/json", headers=HEADERS)


def _told(message: str, status: int) -> Response:
    return _json({"error": message}, status)
