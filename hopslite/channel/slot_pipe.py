"""A slot's end of the connection to its trial, which validates every message: a program may write to any descriptor."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

from ..core.types import Result
from .framing import FrameSocket, decode_json, encode_frame
from .shared_memory import SharedBuffers

__all__ = ["SlotPipe"]

MAX_REASON_CHARS = 1000


class SlotPipe(FrameSocket):
    """Reads a trial's messages from the socket and, after the trial has lost its socket, from shared memory.

    `socket_lost`: the trial has lost its socket, so the end of the socket is not the end of the trial.
    """

    def __init__(self, connection: socket.socket, fallback: SharedBuffers | None, trial_id: str) -> None:
        super().__init__(connection)
        self._fallback, self._trial_id = fallback, trial_id
        self.socket_lost = False

    @property
    def has_fallback_data(self) -> bool:
        """True if shared memory holds data, for which the socket does not become readable."""
        return self._fallback is not None and not self._fallback.to_slot.is_empty

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield the messages that are available now. Raises ValueError for anything that a trial does not send."""
        for frame in self.read():
            yield _checked(decode_json(frame), self._trial_id)

    def _receive(self) -> bytes:
        has_fallback_data = self.has_fallback_data  # before the socket is read: its data is older than the fallback's
        data = super()._receive()
        if not data and has_fallback_data and self._fallback is not None:
            self.socket_lost = True
            return self._fallback.to_slot.read()
        return data

    def send_stop(self, why: str) -> None:
        """Send the reason why the trial is to stop."""
        self._send_control({"stop": why[:MAX_REASON_CHARS]})

    def send_release(self) -> None:
        """Send the permission to end."""
        self._send_control({"release": True})

    def send_answer(self, answer: dict[str, Any]) -> None:
        """Send the answer to a request, on the way by which the request has come."""
        self._send_control({"answer": answer}, is_answer=True)

    def _send_control(self, message: dict[str, Any], is_answer: bool = False) -> None:
        data = encode_frame(json.dumps(message).encode())
        self.send(data)
        is_needed = self.socket_lost or not is_answer  # a trial that has lost its socket without a sign is to stop, too
        if is_needed and self._fallback is not None and self._fallback.to_trial.free_bytes >= len(data):
            self._fallback.to_trial.write(data)

    def close(self) -> None:
        super().close()
        if self._fallback is not None:
            self._fallback.close()
            self._fallback = None


def _checked(message: dict[str, Any], trial_id: str) -> dict[str, Any]:
    """A trial's message, if it is valid."""
    checks: dict[str, Callable[[dict[str, Any]], bool]] = {
        "report": _is_report,
        "ask": lambda message: _is_request(message["ask"]),
        "pid": lambda message: type(message["pid"]) is int and message["pid"] > 1,
        "waiting": lambda message: isinstance(message["waiting"], str),
        "loading": lambda message: isinstance(message["loading"], str) and _is_environment(message.get("environment")),
        "result": lambda message: _is_result(message, trial_id),
    }
    if not any(is_right(message) for kind, is_right in checks.items() if kind in message):
        raise ValueError(f"{str(message)[:80]}, which is not a message of a trial")
    return message


def _is_report(message: dict[str, Any]) -> bool:
    report = message["report"]
    if not isinstance(report, dict) or not {"step", "value"} <= report.keys() <= {"step", "value", "metrics"}:
        return False
    metrics = report.get("metrics", {})
    if not isinstance(metrics, dict) or type(report["step"]) not in (int, float):
        return False
    values = [*metrics.values(), *([] if report["value"] is None else [report["value"]])]
    return bool(values) and all(type(value) in (int, float) for value in values)


def _is_request(request: Any) -> bool:
    if not isinstance(request, dict) or type(request.get("number")) is not int:
        return False
    names = [request[kind] for kind in ("suggest", "user_attr") if kind in request]
    return all(isinstance(name, str) for name in names) and (bool(names) or request.get("prune") is True)


def _is_environment(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _is_text_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value)


def _is_result(message: dict[str, Any], trial_id: str) -> bool:
    with contextlib.suppress(AttributeError, TypeError, ValueError, LookupError):
        result = Result.from_json(message["result"])
        texts = (result.error, result.cause, result.traceback, result.host)
        return (
            result.trial_id == trial_id
            and result.state.final
            and (result.metric is None or type(result.metric) in (int, float))
            and (result.metrics is None or all(type(value) in (int, float) for value in result.metrics.values()))
            and (result.outputs is None or isinstance(result.outputs, dict))
            and (result.usage is None or isinstance(result.usage, dict))
            and all(text is None or isinstance(text, str) for text in texts)
            and all(type(seconds) in (int, float) for seconds in (result.started, result.duration))
            and isinstance(result.log, str)
            and _is_text_list(result.warnings)
            and _is_text_list(result.artifacts)
            and _is_text_list(message["modules"])
            and _is_environment(message["environment"])
        )
    return False
