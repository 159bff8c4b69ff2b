"""The review of a face set as a local web page: a small server for one person on this machine.

Only 127.0.0.1 is listened on. Every address begins with a random token that no other page knows, so that neither
another page in the same browser nor another user of the machine can look or change anything; it is in the path and not
in a cookie, since a browser gives the cookies of one port to all. The Host header is checked too: a foreign name that
was pointed at 127.0.0.1 (DNS rebinding) gets nothing. Pictures are asked for by row, never by path, and the browser is
told to keep none: faces are for this folder alone.
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Callable
from importlib.resources import files
from math import radians
from typing import Any

import numpy as np
import uvicorn
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..curate.nudge import Nudge
from ..errors import FacedoubleError, InputError
from .desk import Change, Desk

HOST = "127.0.0.1"
_THUMB_PX = 128
_MOST_BYTES = 2_000_000
"""of a request: the numbers of some 200,000 rows"""
_ENDING_S = 5
_PARTS = {"": ("page.html", "html"), "page.css": ("page.css", "css"), "page.js": ("page.js", "javascript")}
"""address -> file, kind of text"""
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}


def listen(port: int | None) -> socket.socket:
    """A socket on this machine alone, at a free port where none is named. Raises InputError where it is taken."""
    try:
        listening = socket.create_server((HOST, port or 0))
    except (OSError, OverflowError) as error:
        raise InputError(
            f"--port {port}: cannot be listened on ({getattr(error, 'strerror', error)}). Leave it out."
        ) from error
    # Else every small picture waits 40 ms: its body is held back until the receipt of its head, which comes late
    # (Nagle's algorithm, RFC 896, and delayed acknowledgements). Connections inherit it.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def new_token() -> str:
    return secrets.token_urlsafe(24)


def address(listening: socket.socket, token: str) -> str:
    return f"http://{HOST}:{listening.getsockname()[1]}/{token}/"


def server_of(desk: Desk, port: int, token: str) -> uvicorn.Server:
    """Run it with `run(sockets=[...])` of `listen`; it ends at Ctrl-C, or when its `should_exit` is set."""
    return uvicorn.Server(
        uvicorn.Config(
            _Guard(_application(desk), port, token),
            log_level="warning",
            access_log=False,  # it would show the token
            lifespan="off",
            timeout_graceful_shutdown=_ENDING_S,
            server_header=False,
        )
    )


class _Guard:
    """Lets requests pass that know the token and ask for this very host, and takes the token off their path."""

    def __init__(self, app: ASGIApp, port: int, token: str) -> None:
        self._app, self._token = app, token.encode()
        self._hosts = {f"{HOST}:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if scope["type"] != "http":
            return
        headers, (token, slash, rest) = Headers(scope=scope), scope["path"][1:].partition("/")
        origin = headers.get("origin")
        answer: ASGIApp = self._app
        if headers.get("host") not in self._hosts or (origin and origin.partition("://")[2] not in self._hosts):
            answer = PlainTextResponse("This page is for this machine alone.", 403)
        elif not secrets.compare_digest(token.encode(), self._token) or not slash:
            answer = PlainTextResponse("Open the whole address that facedouble printed; it holds a secret.", 403)
        await answer({**scope, "path": f"/{rest}", "raw_path": b"", "root_path": ""}, receive, send_headed)


def _application(desk: Desk) -> ASGIApp:
    def page(request: Request) -> Response:
        name, kind = _PARTS[request.url.path[1:]]
        return Response(files(__package__).joinpath(name).read_bytes(), media_type=f"text/{kind}; charset=utf-8")

    def about(_: Request) -> Response:
        return JSONResponse(desk.about())

    def measure(request: Request) -> Response:
        return JSONResponse(desk.column(request.path_params["name"]))

    def order(request: Request) -> Response:
        to = request.query_params.get("to")
        rows, labels = desk.order(request.query_params.get("by", ""), None if to is None else _row(desk, to))
        return JSONResponse({"rows": rows, "labels": labels})

    def doubts(_: Request) -> Response:
        return JSONResponse(desk.doubts())

    def thumb(request: Request) -> Response:
        return _jpeg(_small(desk.picture(_row_of(desk, request))), 85)

    def picture(request: Request) -> Response:
        return _jpeg(desk.picture(_row_of(desk, request)), 95)

    def outlines(request: Request) -> Response:
        return JSONResponse(desk.outlines(_row_of(desk, request)))

    def frame(request: Request) -> Response:
        return _jpeg(desk.frame(_row_of(desk, request), _whole(request.path_params["step"])), 90)

    def seen(request: Request) -> Response:
        return JSONResponse(desk.seen(_row_of(desk, request), _whole(request.path_params["step"])))

    def preview(request: Request) -> Response:
        return _jpeg(desk.preview(_row_of(desk, request), _nudge(dict(request.query_params))), 95)

    def drop(body: dict[str, Any]) -> Change:
        return desk.drop(_rows(desk, body), str(body.get("reason")))

    def restore(body: dict[str, Any]) -> Change:
        return desk.restore(_rows(desk, body))

    def nudge(body: dict[str, Any]) -> Change:
        rows = _rows(desk, body)
        if len(rows) != 1:
            raise HTTPException(400, "a nudge is of one face.")
        return desk.nudge(rows[0], _nudge(body))

    def give(body: dict[str, Any]) -> Change:
        return desk.give(_rows(desk, body), _whole(body.get("to")))

    def undo(_: dict[str, Any]) -> Change:
        return desk.undo()

    def change(path: str, work: Callable[[dict[str, Any]], Change]) -> Route:
        async def answer(request: Request) -> Response:
            done = await run_in_threadpool(work, await _body(request))
            return JSONResponse({**vars(done), "states": desk.states(done.rows)})

        return Route(path, answer, methods=["POST"])

    return Starlette(
        routes=[
            *(Route(f"/{name}", page) for name in _PARTS),
            Route("/about", about),
            Route("/measure/{name}", measure),
            Route("/order", order),
            Route("/doubts", doubts),
            Route("/thumb/{row}", thumb),
            Route("/picture/{row}", picture),
            Route("/outlines/{row}", outlines),
            Route("/frame/{row}/{step}", frame),
            Route("/seen/{row}/{step}", seen),
            Route("/preview/{row}", preview),
            change("/drop", drop),
            change("/restore", restore),
            change("/nudge", nudge),
            change("/give", give),
            change("/undo", undo),
        ],
        exception_handlers={FacedoubleError: _said, HTTPException: _said},
    )


def _said(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 409
    return JSONResponse({"error": error.detail if isinstance(error, HTTPException) else str(error)}, status)


async def _body(request: Request) -> dict[str, Any]:
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _MOST_BYTES:
            raise HTTPException(413, f"more than {_MOST_BYTES} bytes were asked.")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or not request.headers.get("content-type", "").startswith("application/json"):
        raise HTTPException(400, "expected a JSON object.")
    return body


def _row_of(desk: Desk, request: Request) -> int:
    return _row(desk, request.path_params["row"])


def _rows(desk: Desk, body: dict[str, Any]) -> list[int]:
    rows = body.get("rows")
    if not isinstance(rows, list) or not rows:
        raise HTTPException(400, "expected rows, a list of numbers.")
    return list(dict.fromkeys(_row(desk, row) for row in rows))


def _row(desk: Desk, told: Any) -> int:
    row = _whole(told)
    if not 0 <= row < len(desk):
        raise HTTPException(404, f"row {row}: the set has rows 0 to {len(desk) - 1}.")
    return row


def _whole(told: Any) -> int:
    text = str(told) if isinstance(told, int | str) else ""
    if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > 9:
        raise HTTPException(404, f"{str(told)[:20]!r} is no whole number.")
    return int(text)


def _nudge(told: dict[str, Any]) -> Nudge:
    try:
        return Nudge(
            float(told.get("x", 0)), float(told.get("y", 0)), radians(float(told.get("turn", 0))),
            float(told.get("scale", 1)),
        )  # fmt: skip
    except (TypeError, ValueError) as error:
        raise HTTPException(400, "a nudge: expected the numbers x, y (px), turn (degrees) and scale.") from error


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> Response:
    import cv2

    kind = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), kind)
    return Response(encoded.tobytes(), media_type="image/jpeg")


def _small(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    if len(crop) <= _THUMB_PX:
        return crop
    return np.asarray(cv2.resize(crop, (_THUMB_PX, _THUMB_PX), interpolation=cv2.INTER_AREA))
