"""MLflow keys for names: valid characters only, and different keys for different names."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["KEY_LENGTH", "image_key_of", "key_of", "keys_of", "with_keys"]

KEY_LENGTH = 250
DIGEST_LENGTH = 6


def key_of(name: str) -> str:
    """Valid key for a name: the name itself if MLflow accepts it, else one that ends with a digest of the name.

    It depends on nothing but the name: in another call, trial or run `p@k` has the same key, and it never is `p_k`,
    which may be a metric, too.

    >>> key_of("p_k"), key_of("p@k")
    ('p_k', 'p_k-6a882a')
    """
    key = re.sub(r"[^\w./ :-]", "_", name)[:KEY_LENGTH]
    if not key or posixpath.normpath(key) != key or key.startswith(("/", "..")) or key == ".":
        key = re.sub(r"[/.]", "_", key) or "_"
    return _marked(name, key)


def image_key_of(name: str) -> str:
    """Valid key of an image, which may have fewer characters than that of a metric."""
    return _marked(name, re.sub(r"[^a-zA-Z0-9_\-./ ]", "_", name))


def _marked(name: str, key: str) -> str:
    """The key with a digest of the name if they differ."""
    if key == name:
        return key
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_LENGTH]
    return f"{key[: KEY_LENGTH - DIGEST_LENGTH - 1]}-{digest}"


def keys_of(names: Iterable[str]) -> dict[str, str]:
    """Key for each name."""
    return {name: key_of(name) for name in names}


def with_keys(values: dict[str, Any]) -> dict[str, Any]:
    return {key_of(name): value for name, value in values.items()}
