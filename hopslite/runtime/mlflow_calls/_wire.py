"""Requests and answers of MLflow's REST API, as JSON has them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ...errors import HopsliteError

__all__ = ["Asked", "Refused", "items", "now", "pairs", "pairs_of", "text", "texts", "unfiltered", "whole"]

Asked = Mapping[str, Any]


class Refused(HopsliteError):
    """A request that has no answer; the code is one of MLflow's."""

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
    found = asked.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Refused("INVALID_PARAMETER_VALUE", f"{name} is {found!r:.80}; give a list of objects")
    return found


def texts(asked: Asked, name: str) -> list[str]:
    found = asked.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise Refused("INVALID_PARAMETER_VALUE", f"{name} is {found!r:.80}; give a list of texts")
    return found


def pairs(found: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in found.items()]


def _plain(value: Any) -> str:
    if not isinstance(value, (str, int, float)):
        raise Refused("INVALID_PARAMETER_VALUE", f"{value!r:.80} is no text")
    return str(value)


def unfiltered(asked: Asked) -> None:
    """Refuse a search that asks for more than everything, in the order of creation."""
    for name in ("filter", "order_by"):
        if asked.get(name):
            raise Refused("INVALID_PARAMETER_VALUE", f"inside a trial of hopslite a search takes no {name}")


def pairs_of(asked: Asked, name: str) -> dict[str, str]:
    return {text(each, "key"): _plain(each.get("value", "")) for each in items(asked, name)}


def now() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)
