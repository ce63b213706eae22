"""Redaction of URLs: user names with passwords, signatures, and keys in queries."""

from __future__ import annotations

import functools
import re

from ._names import Likelihood, likelihood_of, looks_random
from ._tokens import REDACTED

__all__ = ["user_info", "without_credentials", "without_url_secrets"]

# A URL up to its last `@`, within what stands without a space, and before another URL of a list. What may be long is
# bounded in all of these: an error's message may be megabytes, and is searched in a time that grows as its length.
_SCHEME = r"(?<![a-z])([a-z][a-z0-9+.-]{0,30})://"
_UP_TO_AT = re.compile(
    _SCHEME + r"(?!/)((?:(?!(?:[,;|\"'<>()]|::)(?:[\w.-]{1,60}=)?[a-z][a-z0-9+.-]{0,30}://)\S)*)@", re.I
)
_WITH_QUERY = re.compile(rf"({_SCHEME}[^\s?&;#]{{0,500}})(?:\?|[&;](?=[\w.-]{{1,100}}=))\S*", re.I)
_WORD = re.compile(r"\S+")
_SECRET_NAME = re.compile(r"(?:^|[&;?])[^=&;\s]*(?:sig|secret|token|key|pass|pwd|cred|auth)[^=&;\s]*=", re.I)
_PARAMETER = re.compile(r"([?&;])([\w.%-]+)=([^&;\s\"'<>]*)")
# Schemes of which all after the first `/` is a path, in which `@` and `?` may be letters like others.
FILE_SYSTEMS = {
    *["abfs", "abfss", "adl", "az", "file", "gcs", "gs", "hdfs", "http", "https", "local", "memory", "s3", "s3a"],
    *["viewfs", "wasb", "wasbs", "webhdfs"],
}


@functools.cache
def _has_paths(scheme: str) -> bool:
    """True for schemes of file systems; common ones are listed, because importing fsspec takes 40 ms."""
    if scheme in FILE_SYSTEMS:
        return True
    from fsspec.registry import known_implementations

    return scheme in known_implementations


def without_credentials(text: str) -> str:
    """Remove user names, passwords, and queries that may hold secrets from the URLs in a text.

    A password may have any letters, `/`, `?` and `@` among them. Of an address of a file, what is only a path stays.
    """
    return _WITH_QUERY.sub(_without_query, _without_users(text))


def without_url_secrets(text: str) -> str:
    """Remove users with passwords, and redact secret parameters, in the URLs of a text.

    Unlike `without_credentials` it keeps the rest of a query, which may be all that tells two data sets apart.
    """
    return _WITH_QUERY.sub(_with_safe_query, _without_users(text))


def _without_users(text: str) -> str:
    return _WORD.sub(_without_user_in_word, text) if "@" in text and "://" in text else text


def _without_user_in_word(match: re.Match[str]) -> str:
    """Remove users up to the last `@` of a word; without this bound the rest would be searched repeatedly."""
    head, at, rest = match[0].rpartition("@")
    return _UP_TO_AT.sub(_without_user, head + at) + rest if "://" in head else match[0]


def user_info(url: str) -> str:
    """User part of a URL, `name:password`; empty if there is none."""
    match = _UP_TO_AT.match(url)
    return _parted(match)[0] if match else ""


def _without_user(match: re.Match[str]) -> str:
    return f"{match[1]}://{_parted(match)[1]}"


def _parted(match: re.Match[str]) -> tuple[str, str]:
    """Split the part of a URL before its last `@` into the user and the rest."""
    scheme, text = match[1].lower(), match[2]
    if not _has_paths(scheme):
        return text, ""
    head, slash, path = text.partition("/")
    user, at, host = head.rpartition("@") if slash else (head, "@", "")
    if at:
        is_container = scheme in ("abfs", "abfss") and ":" not in user
        return ("", f"{text}@") if is_container else (user, f"{host}/{path}@" if slash else "")
    _, colon, port = head.rpartition(":")
    if colon and not port.isdigit() and not head.startswith("["):
        return text, ""  # a password with a slash in it
    return "", f"{text}@"


def _without_query(match: re.Match[str]) -> str:
    scheme = match[2].lower()
    if not _has_paths(scheme):
        return match[1]
    address, _, query = match[0].partition("?")
    return address if scheme in ("http", "https") or _SECRET_NAME.search(query) else match[0]


def _with_safe_query(match: re.Match[str]) -> str:
    return _PARAMETER.sub(_safe_parameter, match[0])


def _safe_parameter(match: re.Match[str]) -> str:
    mark, name, value = match.groups()
    is_secret = likelihood_of(name) is not Likelihood.NOTHING or (
        name.lower() in ("code", "hmac") and looks_random(value)
    )
    return f"{mark}{name}={REDACTED}" if is_secret and value else match[0]
