"""Secret values of parameters in the stored call of a run: left out, and given again when the run is resumed.

They are known by the parameter's name, as in records. What the code of a training function holds, such as a global
variable, is part of the code.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import cloudpickle

from ..core.redaction import INNER, redact_value

__all__ = ["pickled_without", "secrets_of", "unpickled_with"]

PREFIX = "HOPSLITE_PARAM_"  # as the variables in which programs find their parameters


def secrets_of(values: Mapping[str, Iterable[Any]]) -> dict[str, str]:
    """The secret texts among the values of parameters, by the variables that have them when a run is resumed.

    >>> secrets_of({"hf_token": ["hunter2", "swordfish"], "lr": [0.1], "pad_token": ["x"]})
    {'HOPSLITE_PARAM_HF_TOKEN': 'hunter2', 'HOPSLITE_PARAM_HF_TOKEN__2': 'swordfish'}
    """
    secrets: dict[str, str] = {}
    for name, some in values.items():
        texts = dict.fromkeys(text for value in some for text in _secret_texts(value, name))
        stem = PREFIX + re.sub(r"[^A-Z0-9_]", "_", name.upper())
        for number, text in enumerate(texts, 1):
            secrets[stem if number == 1 else f"{stem}__{number}"] = text
    return secrets


def _secret_texts(value: Any, name: str) -> Iterator[str]:
    """Texts in a parameter's value, also in lists and mappings, that records do not have."""
    if type(value) is str:
        if redact_value(value, name) != value:
            yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _secret_texts(item, name if key in INNER else str(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _secret_texts(item, name)


def pickled_without(value: Any, secrets: Mapping[str, str]) -> bytes:
    """A pickled value with the names of variables in the places of secret texts."""
    file = io.BytesIO()
    _Pickler(file, {text: name for name, text in secrets.items()}).dump(value)
    return file.getvalue()


def unpickled_with(content: bytes, variables: Mapping[str, str]) -> tuple[Any, list[str]]:
    """The value that `pickled_without` has pickled, and the names of variables for secret texts that are not there."""
    unpickler = _Unpickler(io.BytesIO(content), variables)
    value = unpickler.load()
    return value, list(dict.fromkeys(unpickler.missing))


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(self, file: io.BytesIO, names: Mapping[str, str]) -> None:
        super().__init__(file)
        self._names = names

    def persistent_id(self, obj: Any) -> str | None:
        return self._names.get(obj) if type(obj) is str else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, variables: Mapping[str, str]) -> None:
        super().__init__(file)
        self._variables = variables
        self.missing: list[str] = []

    def persistent_load(self, pid: Any) -> Any:
        if pid not in self._variables:
            self.missing.append(pid)
        return self._variables.get(pid, pid)
