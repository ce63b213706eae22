"""Redaction of secrets in records, logs and messages: one vocabulary for all of hopslite.

Three things tell a secret: the name that it stands under (`_names`), its own form (`_tokens`), and its place in a URL
(`_urls`). Spark's configuration may hold anything under any name, so of that only what is known to be harmless is kept
(`_spark`). Numbers, words and paths stay as they are: what is recorded has to say how a result came about.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from ._names import NAME_STEMS, Likelihood, likelihood_of, may_stand
from ._spark import spark_settings
from ._tokens import REDACTED, without_tokens
from ._urls import user_info, without_credentials, without_url_secrets

__all__ = [
    "INNER",
    "REDACTED",
    "is_secret",
    "redact",
    "redact_source",
    "redact_value",
    "redact_words",
    "spark_settings",
    "user_info",
    "without_credentials",
]

# A name, the separator, and the value, with its quotes if any.
_NAMED = re.compile(
    r"(?<![\w./-])(?P<name>(?:--?|\$)?[A-Za-z_][\w.-]{0,80})(?P<quote>\\?[\"']?)"
    r"(?P<sign>\]?\s{0,3}(?:=>|:=|=|:)\s{0,3}|\s{1,3})(?=[^\s])"
)
_VALUE = re.compile(r"b?\\?\"(?:[^\"\\]|\\.){0,10000}\\?\"|b?\\?'(?:[^'\\]|\\.){0,10000}\\?'|[^\s\"']{1,200}")
_REST = re.compile(r"[^\s\"']*")
_STEM = re.compile(NAME_STEMS, re.I)
_NEXT = re.compile(r"[&;,|]\s*[\w.-]+\s*[=:]|[)\]},;]+$|[)\]}]+[,;.]")
INNER = ("value", "values", "default", "choices", "of")  # of a dimension of a search space: what the parameter may be
LEAST_NUMBER = 1000
# A short text without any of these is a word, a number or a path: no token is so short, and nothing in it has a name.
_SUSPECT = re.compile(r"[\w+=-]{12}|[=@:]|--|(?i:bear|basic|nego)")
SHORT = 500


def redact(text: str) -> str:
    """Redact the secrets in a text: tokens, passwords in URLs, and values under secret names.

    >>> redact("git+https://ada:hunter2@example.org/x.git, token=hunter2, learning_rate_schedule=cosine")
    'git+https://example.org/x.git, token=(redacted), learning_rate_schedule=cosine'
    """
    return _redact_short(text) if len(text) < SHORT else _redact(text)


@functools.lru_cache(4096)
def _redact_short(text: str) -> str:
    """Cached `redact` for short texts that recur in a run: names, states, paths."""
    return _redact(text) if _SUSPECT.search(text) else text


def _redact(text: str) -> str:
    text = without_url_secrets(text) if "://" in text else text
    text = without_tokens(text)
    return _without_named(text, is_source=False) if _STEM.search(text) else text


def is_secret(name: str) -> bool:
    """True if a name says that its value is, or may be, a secret."""
    return likelihood_of(name) is not Likelihood.NOTHING


def redact_source(text: str) -> str:
    """Redact tokens, and texts assigned to secret names, in source code; the code itself is unchanged."""
    text = without_tokens(without_url_secrets(text) if "://" in text else text)
    return _without_named(text, is_source=True) if _STEM.search(text) else text


def redact_value(value: Any, name: str = "") -> Any:
    """Redact the secrets in a JSON value, such as a parameter, tag or record.

    >>> redact_value({"lr": 0.1, "hf_token": "hunter2", "max_tokens": 512, "commit": "7f9f1f5c0ffee"})
    {'lr': 0.1, 'hf_token': '(redacted)', 'max_tokens': 512, 'commit': '7f9f1f5c0ffee'}
    """
    if isinstance(value, str):
        return REDACTED if not may_stand(name, value) else redact(value)
    if isinstance(value, dict):
        return {key: redact_value(item, name if key in INNER else str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(redact_value(item, name) for item in value)
    is_long = isinstance(value, int) and not isinstance(value, bool) and abs(value) >= LEAST_NUMBER
    return REDACTED if is_long and likelihood_of(name) is Likelihood.PASSWORD else value


def redact_words(words: list[str]) -> list[str]:
    """Redact the words of a command line; the value of `--token` may be the next word.

    >>> redact_words(["train.py", "--lr", "0.1", "--hf-token", "hunter2"])
    ['train.py', '--lr', '0.1', '--hf-token', '(redacted)']
    """
    kept: list[str] = []
    option = ""
    for word in words:
        name, equals, value = word.partition("=")
        if equals and re.fullmatch(r"[\w.-]+", name):
            kept.append(f"{name}={redact_value(value, name)}")
        else:
            kept.append(str(redact_value(word, option)))
        option = word if word.startswith("-") and not equals else ""
    return kept


def _without_named(text: str, is_source: bool) -> str:
    pieces, done, at = [], 0, 0
    while match := _NAMED.search(text, at):
        at = match.end()
        if not is_secret(match["name"]) or not (value_match := _VALUE.match(text, at)):
            continue
        value = value_match[0]
        value = value if value[-1] in "\"'" else _bare(value)
        if _is_secret(match, value, is_source):
            if value == value_match[0] and value[-1] not in "\"'":  # the text may be truncated
                value = _bare(value + _REST.match(text, value_match.end())[0])  # type: ignore[index]
            bare = value.strip("b\\\"'") if value[-1:] in "\"'" else value
            first = at + value.index(bare) if bare else at
            pieces += [text[done:first], REDACTED]
            done = at = first + len(bare)
    return "".join([*pieces, text[done:]])


def _bare(value: str) -> str:
    """Unquoted value up to the next name, or to the bracket that closes one opened before it."""
    following = _NEXT.search(value)
    return value[: following.start()] if following else value


def _is_secret(match: re.Match[str], value: str, is_source: bool) -> bool:
    """True if the text after a name is its value and a secret, and neither code nor prose."""
    name, sign = match["name"], match["sign"].strip()
    is_quoted = value[-1:] in "\"'"
    inner = value.strip("b\\\"'") if is_quoted else value
    if inner == name or not any(map(str.isalnum, inner)) or may_stand(name, inner):
        return False
    if is_quoted:
        return bool(sign) and (
            sign != ":" or bool(match["quote"]) or likelihood_of(name) is Likelihood.PASSWORD or not is_source
        )
    if is_source:
        return False
    if not sign:
        return name.startswith("--") and not value.startswith("-")
    if likelihood_of(name) is Likelihood.PASSWORD and sign != ":":
        return not value.startswith(("os.", "getpass", "self.", "None"))
    if sign == ":" and not any(map(str.isdigit, value)):
        return likelihood_of(name) is Likelihood.PASSWORD and bool(match["quote"])
    return not re.match(r"[A-Za-z_][\w.]*[(\[]", value)
