"""Who may see the dashboard: token, cookie, password, host names and origins; without a server."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from hopslite.dashboard import access
from hopslite.dashboard.access import Access, Gate

SECRETS = Access(8765, password="öffne dich")
OWN = "http://127.0.0.1:8765"
SESSION = {"cookie": f"{SECRETS.cookie}={SECRETS.session}"}
PAGE = {"accept": "text/html"}


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await PlainTextResponse("secret")(scope, receive, send)


def ask(path: str, method: str = "GET", secrets: Access = SECRETS, host: str = OWN, **options: Any) -> httpx.Response:
    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(app=Gate(inside, secrets))
        async with httpx.AsyncClient(transport=transport, base_url=host) as client:
            return await client.request(method, path, **options)

    return asyncio.run(answer())


def connect(**headers: str) -> str:
    """The first message that a web socket gets."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    listed = [(name.encode(), text.encode()) for name, text in {"host": "127.0.0.1:8765", **headers}.items()]
    scope = {"type": "websocket", "path": "/_nicegui_ws/socket.io/", "query_string": b"", "headers": listed}
    asyncio.run(Gate(inside, SECRETS)(scope, receive, send))
    return str(messages[0]["type"])


@pytest.mark.parametrize("path", ["/", "/runs/x", "/api/runs/x", "/_nicegui_ws/socket.io/?EIO=4", "/../..", "/login"])
@pytest.mark.parametrize(
    "cookie", ["", "hopslite-dashboard-8765=", "hopslite-dashboard-8765=x", "hopslite-dashboard-1=y"]
)
def test_strangers_get_nothing(path: str, cookie: str) -> None:
    answer = ask(path, headers={"cookie": cookie})
    assert answer.status_code == 401
    assert "secret" not in answer.text.replace('name="secret"', "")


def test_token_becomes_a_cookie_and_leaves_the_address() -> None:
    answer = ask("/runs/x?token=" + SECRETS.token + "&a=b%26c", headers=PAGE)
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{SECRETS.cookie}={SECRETS.session};")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert 'content="0;url=/runs/x?a=b%26c"' in answer.text  # a redirect from another site would lose the cookie
    assert SECRETS.token not in answer.text
    assert ask("/runs/x", headers=SESSION).text == "secret"


WRONG = ["", "x", "ä", SECRETS.session, SECRETS.token[:-1], SECRETS.token + "x"]


@pytest.mark.parametrize("token", WRONG, ids=range(len(WRONG)))  # they differ from process to process
def test_wrong_token(token: str) -> None:
    answer = ask("/", params={"token": token}, headers=PAGE)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "target", ["//elsewhere.example", "/\\elsewhere.example", "https://elsewhere.example", "/a\nb"]
)
def test_login_goes_nowhere_else(target: str) -> None:
    form = {"secret": SECRETS.token, "next": target}
    answer = ask("/login", "POST", data=form, headers={"origin": OWN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_password_opens_the_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "PAUSE_SECONDS", 0.0)
    form = {"secret": "öffne dich", "next": "/runs/x"}
    answer = ask("/login", "POST", data=form, headers={"origin": OWN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/x")
    assert SECRETS.session in answer.headers["set-cookie"]
    wrong = ask("/login", "POST", data={**form, "secret": "x"}, headers={"origin": OWN})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (403, False)
    without = Access(8765)
    refused = ask("/login", "POST", secrets=without, data={"secret": "", "next": "/"}, headers={"origin": OWN})
    assert refused.status_code == 403
    assert ask("/login", "POST", content=b"x" * 10_000, headers={"origin": OWN}).status_code == 413


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "http://127.0.0.1:9999", "null", "http://127.0.0.1"])
def test_other_origins_are_refused(origin: str) -> None:
    assert ask("/", headers={**SESSION, "origin": origin}).status_code == 403
    assert ask("/login", "POST", data={"secret": SECRETS.token}, headers={"origin": origin}).status_code == 403
    assert connect(**SESSION, origin=origin) == "websocket.close"


def test_malformed_headers_are_refused() -> None:
    assert ask("/", headers={**SESSION, "origin": "http://["}).status_code == 403
    for secrets in (SECRETS, Access(8765, loopback_only=False)):
        assert ask("/", secrets=secrets, headers={**SESSION, "host": "["}).status_code == 403
    assert connect(**SESSION, host="[") == connect(**SESSION, origin="http://[") == "websocket.close"


def test_web_sockets_need_the_cookie() -> None:
    assert connect(**SESSION, origin=OWN) == "websocket.accept"
    assert connect(origin=OWN) == "websocket.close"


def test_foreign_names_of_this_machine_are_refused() -> None:
    assert ask("/", host="http://rebound.example:8765", headers=SESSION).status_code == 403
    for name in ("localhost", "127.0.0.1", "127.0.0.2", "[::1]"):
        assert ask("/", host=f"http://{name}:8765", headers=SESSION).status_code == 200
    open_to_all = Access(8765, loopback_only=False)
    cookie = {"cookie": f"{open_to_all.cookie}={open_to_all.session}"}
    assert ask("/", secrets=open_to_all, host="http://machine.example:8765", headers=cookie).status_code == 200


def test_links_on_other_sites_lead_to_the_page() -> None:
    """The browser keeps back the cookie at first; the page that it gets loads the address again, with it."""
    answer = ask("/runs/x", headers={**PAGE, "sec-fetch-site": "cross-site"})
    assert (answer.status_code, 'content="0;url=/runs/x"' in answer.text) == (200, True)
    assert ask("/runs/x", headers={**PAGE, "sec-fetch-site": "same-origin"}).status_code == 401


def test_texts_in_the_address_are_escaped() -> None:
    answer = ask('/%22%3E%3Cscript%3Ealert(1)%3C/script%3E?a="><script>', headers=PAGE)
    assert "<script" not in answer.text


def test_headers_keep_pages_apart() -> None:
    for answer in (ask("/", headers=SESSION), ask("/", headers=PAGE), ask("/", host="http://x:1")):
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        # With no-referrer, browsers send the login form with the origin "null", which is refused.
        assert answer.headers["referrer-policy"] == "same-origin"


def test_anybody_may_ask_which_dashboard_it_is() -> None:
    answer = ask("/alive")
    assert answer.json() == {"dashboard": SECRETS.identity}
    assert SECRETS.token not in answer.text


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("x", False)],
)
def test_loopback(host: str, expected: bool) -> None:
    assert access.is_loopback(host) is expected
