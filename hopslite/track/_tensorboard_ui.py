"""Changes to TensorBoard's page: integers as integers, and logarithmic axes for parameters that are searched so.

The HParams dashboard gets numbers as floats and shows five digits of each (`97.000`), and its axes are linear until the
user changes them one by one; no record of an event file says otherwise. So the script of the page is changed as it is
served. A pattern that a version of TensorBoard does not have changes nothing.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["LOGARITHMIC", "adapted", "rewritten"]

LOGARITHMIC = "logarithmic"  # description of a hyperparameter whose axis is so
SCRIPT = "/index.js"
QUICK = 1  # level of compression
CHANGES = (
    (
        rb"\.isNumber\((\w+)\)\?\1\.toPrecision\(5\)",  # a pattern that began with \w+ would take seconds
        rb".isNumber(\1)?(Number.isInteger(\1)?String(\1):\1.toPrecision(5))",
    ),
    (
        rb'\((\w+),(\w+)\)=>\(\{(name:[^{}]{1,120}?)scale:this\._isNumericColumn\(\2\)\?"LINEAR":"NON_NUMERIC"',
        rb'(\1,\2)=>({\3scale:this._isNumericColumn(\2)?(\1.description==="'
        + LOGARITHMIC.encode()
        + rb'"?"LOG":"LINEAR"):"NON_NUMERIC"',
    ),
    (  # it would take the scale back before there are values
        rb'!this\._allowLogScale\((\w+)\)&&\1\.scale==="LOG"',
        rb'this.sessionGroups&&this.sessionGroups.length&&!this._allowLogScale(\1)&&\1.scale==="LOG"',
    ),
)

Start = Callable[..., Any]
App = Callable[[Mapping[str, Any], Start], Iterable[bytes]]


def rewritten(script: bytes) -> tuple[bytes, int]:
    """The script with the changes, and how many of them it has taken."""
    taken = 0
    for pattern, replacement in CHANGES:
        script, count = re.subn(pattern, replacement, script)
        taken += bool(count)
    return script, taken


def adapted(app: App) -> App:
    """WSGI application that serves the changed script, and all else as `app` does."""

    def answer(environment: Mapping[str, Any], start: Start) -> Iterable[bytes]:
        if not str(environment.get("PATH_INFO") or "").endswith(SCRIPT):
            return app(environment, start)
        captured: list[Any] = []
        plain = {**environment, "HTTP_ACCEPT_ENCODING": ""}
        body = b"".join(app(plain, lambda *response: captured.extend(response[:2])))
        status, headers = captured
        if str(status).startswith("200"):
            body, _ = rewritten(body)
        headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
        if "gzip" in str(environment.get("HTTP_ACCEPT_ENCODING") or ""):
            body = gzip.compress(body, QUICK)
            headers.append(("Content-Encoding", "gzip"))
        start(status, [*headers, ("Content-Length", str(len(body)))])
        return [body]

    return answer
