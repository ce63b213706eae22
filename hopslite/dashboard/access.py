"""Access to the dashboard: a token in the first URL, then a cookie; foreign origins and host names are refused."""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .login_page import forward_page, login_page

__all__ = ["ALIVE", "Access", "Gate", "is_loopback"]

ALIVE = "/alive"  # answers without a cookie, so that other programs of the user can find the dashboard
LOGIN = "/login"
MOST_BYTES = 4096  # of a login form
PAUSE_SECONDS = 1.0  # after a wrong password; logins come one after the other
# Pages compile their templates in the browser, which needs inline and evaluated scripts of this server; nothing is
# loaded from, sent to or shown in another one.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send the login form with the origin "null"
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """True for names and addresses that only this machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclasses.dataclass(frozen=True)
class Access:
    """Secrets of one dashboard.

    Attributes:
        port: of the server; cookies of several dashboards on one host are told apart by it.
        loopback_only: only names of this machine are accepted in the `Host` header, so that a foreign name that
            resolves to this machine is none (DNS rebinding).
        password: also opens the dashboard; None: only the token does.
        identity: not secret; says which dashboard answers on a port.
    """

    port: int
    loopback_only: bool = True
    password: str | None = None
    token: str = dataclasses.field(default_factory=lambda: secrets.token_urlsafe(32))
    session: str = dataclasses.field(default_factory=lambda: secrets.token_urlsafe(32))
    identity: str = dataclasses.field(default_factory=lambda: secrets.token_hex(16))

    @property
    def cookie(self) -> str:
        return f"hopslite-dashboard-{self.port}"

    def is_session(self, cookies: Mapping[str, str]) -> bool:
        return _same(cookies.get(self.cookie), self.session)

    def is_token(self, text: str | None) -> bool:
        return _same(text, self.token)

    def is_secret(self, text: str | None) -> bool:
        """True for the token and for the password."""
        is_password = self.password is not None and _same(text, self.password)
        return self.is_token(text) or is_password

    def accepts_host(self, host: str) -> bool:
        """True if a `Host` header may name this server."""
        name = _hostname(host)
        return bool(name) and (not self.loopback_only or is_loopback(name))


class Gate:
    """ASGI middleware that lets only requests through that may see the dashboard."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self._access = access
        self._logins = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._access.accepts_host(host):
            await _refuse(scope, receive, send, "the host name is not one of this machine")
        elif origin is not None and _netloc(origin) != host:
            await _refuse(scope, receive, send, "the request comes from another site")
        elif scope["type"] == "websocket":
            if self._access.is_session(_cookies(scope)):
                await self.app(scope, receive, send)
            else:
                await _refuse(scope, receive, send, "")
        else:
            await self._answer(scope, receive, _with_headers(send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response: Response | None = None
        if request.url.path == ALIVE:
            response = JSONResponse({"dashboard": self._access.identity})
        elif request.url.path == LOGIN and request.method == "POST":
            response = await self._log_in(request)
        elif request.query_params.get("token") is not None and request.method in ("GET", "HEAD"):
            response = self._with_token(request)
        elif not self._access.is_session(request.cookies):
            response = self._stranger(request)
        await (response or self.app)(scope, receive, send)

    def _with_token(self, request: Request) -> Response:
        """Set the cookie, and go on to the same page without the token.

        The page goes there by itself. After a redirect from a link on another site, the browser would not send a
        SameSite=Strict cookie.
        """
        if not self._access.is_token(request.query_params.get("token")):
            return self._login("that token is not the one of this dashboard: it has a new one with each start", 403)
        rest = [(name, text) for name, text in parse_qsl(scope_query(request)) if name != "token"]
        target = request.url.path + (f"?{urlencode(rest)}" if rest else "")
        return self._let_in(HTMLResponse(forward_page(_local(target))), request)

    async def _log_in(self, request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                return PlainTextResponse("too long\n", 413)
        form = dict(parse_qsl(body.decode("utf-8", "replace")))
        async with self._logins:
            if not self._access.is_secret(form.get("secret", "").strip()):
                await asyncio.sleep(PAUSE_SECONDS)
                return self._login("that was not right", 403, form.get("next", "/"))
        response = Response(status_code=303, headers={"Location": _local(form.get("next", "/"))})
        return self._let_in(response, request)

    def _stranger(self, request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", "") or request.method not in ("GET", "HEAD"):
            return PlainTextResponse("open the address that hopslite dashboard has printed\n", 401)
        target = _local(request.url.path + (f"?{scope_query(request)}" if scope_query(request) else ""))
        if request.headers.get("sec-fetch-site") == "cross-site":
            return HTMLResponse(forward_page(target))  # the browser has kept back the cookie, and sends it from here
        return self._login("", 401, target)

    def _login(self, problem: str, status: int, target: str = "/") -> Response:
        return HTMLResponse(login_page(problem, _local(target), self._access.password is not None), status)

    def _let_in(self, response: Response, request: Request) -> Response:
        is_secure = request.url.scheme == "https"
        response.set_cookie(
            self._access.cookie, self._access.session, path="/", secure=is_secure, httponly=True, samesite="strict"
        )
        response.headers["Cache-Control"] = "no-store"
        return response


def scope_query(request: Request) -> str:
    """Query of a request, as it was sent."""
    return str(request.scope.get("query_string", b"").decode("latin-1"))


def _local(target: str) -> str:
    """A path of this server; `/` for everything else, such as `//elsewhere.example`."""
    return target if target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable() else "/"


def _hostname(host: str) -> str:
    """Name or address in a `Host` header, without the port; empty if it is malformed."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _netloc(origin: str) -> str | None:
    """Host and port in an `Origin` header; None if it is malformed."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _cookies(scope: Scope) -> Mapping[str, str]:
    return Request({**scope, "type": "http"}).cookies


def _same(text: str | None, secret: str) -> bool:
    return text is not None and hmac.compare_digest(text.encode(), secret.encode())


async def _refuse(scope: Scope, receive: Receive, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the handshake gets a 403
    else:
        await PlainTextResponse(f"refused: {reason}\n", 403)(scope, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: Any = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return with_headers
