"""Requests and answers of MLflow's REST API in JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ...errors import HopsliteError

__all__ = ["Asked", "Refused", "items", "now", "pairs", "pairs_of", "text", "texts", "unfiltered", "whole"]

Asked = Mapping[str, Any]


class Refused(HopsliteError):
    """Raised for a request that is refused; the code is one of MLflow's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def text(asked: Asked, name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value:
        raise Refused("INVALID_PARAMETER_VALUE", f"{name} is {value!r:.80}; give a text")
    return value


def whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise Refused("INVALID_PARAMETER_VALUE", f"{value!r:.80} is no whole number") from None


def items(asked: Asked, name: str) -> list[Asked]:
    entries = asked.get(name) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Refused("INVALID_PARAMETER_VALUE", f"{name} is {entries!r:.80}; give a list of objects")
    return entries


def texts(asked: Asked, name: str) -> list[str]:
    entries = asked.get(name) or []
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise Refused("INVALID_PARAMETER_VALUE", f"{name} is {entries!r:.80}; give a list of texts")
    return entries


def pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _plain(value: Any) -> str:
    if not isinstance(value, (str, int, float)):
        raise Refused("INVALID_PARAMETER_VALUE", f"{value!r:.80} is no text")
    return str(value)


def unfiltered(asked: Asked) -> None:
    """Refuse a search with a filter, or in another order than that of creation."""
    for name in ("filter", "order_by"):
        if asked.get(name):
            raise Refused("INVALID_PARAMETER_VALUE", f"inside a trial of hopslite a search takes no {name}")


def pairs_of(asked: Asked, name: str) -> dict[str, str]:
    return {text(pair, "key"): _plain(pair.get("value", "")) for pair in items(asked, name)}


def now() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)
