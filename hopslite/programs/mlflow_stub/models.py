"""Models that a program logs or registers through MLflow while it runs as a trial."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .schema import Asked, Refused, now, pairs, pairs_of, text, texts, unfiltered

__all__ = ["Models"]

OF_MODEL = "logged-models/"
READY = "READY"


class Models:
    """Logged models, whose files the client writes, and registrations, which are recorded but not carried out.

    A search of many trials would register a version for each. Not safe from many threads.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "models"
        self._logged: dict[str, dict[str, Any]] = {}
        self._registered: dict[str, list[dict[str, Any]]] = {}
        self.endpoints: dict[tuple[str, str], Callable[[Asked], dict[str, Any]]] = {
            ("POST", "logged-models"): self._create,
            ("POST", "logged-models/search"): self._search,
            ("GET", "logged-models/{id}"): lambda asked: {"model": self._model(asked)},
            ("PATCH", "logged-models/{id}"): self._finalize,
            ("PATCH", "logged-models/{id}/tags"): self._tag,
            ("POST", "logged-models/{id}/params"): self._more_params,
            ("POST", "registered-models/create"): self._register,
            ("GET", "registered-models/get"): lambda asked: {"registered_model": {"name": self._name(asked)}},
            ("POST", "registered-models/alias"): self._accepted,
            ("POST", "registered-models/set-tag"): self._accepted,
            ("POST", "model-versions/create"): self._create_version,
            ("GET", "model-versions/get"): lambda asked: {"model_version": self._version(asked)},
            ("GET", "model-versions/get-download-uri"): lambda asked: {"artifact_uri": self._version(asked)["source"]},
            ("POST", "model-versions/set-tag"): self._accepted,
        }

    @staticmethod
    def named(endpoint: str) -> tuple[str, dict[str, str]]:
        """Split the id of a logged model from an endpoint."""
        rest = endpoint.removeprefix(OF_MODEL)
        model, slash, more = rest.partition("/")
        if rest == endpoint or model == "search":
            return endpoint, {}
        return f"{OF_MODEL}{{id}}{slash}{more}", {"model_id": model}

    def record(self) -> dict[str, Any]:
        """Record of the models."""
        logged = [
            {name: model["info"].get(name) for name in ("model_id", "name", "source_run_id")}
            for model in self._logged.values()
        ]
        registered = [
            {name: version[name] for name in ("name", "version", "source")}
            for versions in self._registered.values()
            for version in versions
        ]
        return {"models": logged, "registered": registered}

    def _create(self, asked: Asked) -> dict[str, Any]:
        model_id, created = f"m-{uuid.uuid4().hex}", now()
        info = {
            "model_id": model_id,
            "experiment_id": text(asked, "experiment_id"),
            "name": str(asked.get("name") or model_id),
            "creation_timestamp_ms": created,
            "last_updated_timestamp_ms": created,
            "artifact_uri": (self._folder / model_id).as_uri(),
            "status": "LOGGED_MODEL_PENDING",
            "tags": pairs(pairs_of(asked, "tags")),
            **{name: text(asked, name) for name in ("model_type", "source_run_id") if asked.get(name)},
        }
        model = self._logged[model_id] = {"info": info, "data": {"params": pairs(pairs_of(asked, "params"))}}
        return {"model": model}

    def _model(self, asked: Asked) -> dict[str, Any]:
        model_id = text(asked, "model_id")
        if model_id not in self._logged:
            raise Refused("RESOURCE_DOES_NOT_EXIST", f"there is no logged model {model_id!r}")
        return self._logged[model_id]

    def _search(self, asked: Asked) -> dict[str, Any]:
        unfiltered(asked)
        ids = texts(asked, "experiment_ids")
        return {"models": [model for model in self._logged.values() if model["info"]["experiment_id"] in ids]}

    def _finalize(self, asked: Asked) -> dict[str, Any]:
        model = self._model(asked)
        model["info"] |= {"status": text(asked, "status"), "last_updated_timestamp_ms": now()}
        return {"model": model}

    def _tag(self, asked: Asked) -> dict[str, Any]:
        info = self._model(asked)["info"]
        info["tags"] = pairs(pairs_of(info, "tags") | pairs_of(asked, "tags"))
        return {"model": self._model(asked)}

    def _more_params(self, asked: Asked) -> dict[str, Any]:
        data = self._model(asked)["data"]
        data["params"] = pairs(pairs_of(data, "params") | pairs_of(asked, "params"))
        return {}

    def _register(self, asked: Asked) -> dict[str, Any]:
        name = text(asked, "name")
        if name in self._registered:
            raise Refused("RESOURCE_ALREADY_EXISTS", f"there is a registered model {name!r}")
        self._registered[name] = []
        return {"registered_model": {"name": name}}

    def _name(self, asked: Asked) -> str:
        name = text(asked, "name")
        if name not in self._registered:
            raise Refused(
                "RESOURCE_DOES_NOT_EXIST", f"inside a trial of hopslite no model {name!r} has been registered"
            )
        return name

    def _accepted(self, asked: Asked) -> dict[str, Any]:
        self._name(asked)
        return {}

    def _create_version(self, asked: Asked) -> dict[str, Any]:
        versions = self._registered[self._name(asked)]
        made = {
            "name": text(asked, "name"),
            "version": str(len(versions) + 1),
            "source": text(asked, "source"),
            "status": READY,
            "creation_timestamp": now(),
            **{name: text(asked, name) for name in ("run_id", "model_id") if asked.get(name)},
        }
        versions.append(made)
        return {"model_version": made}

    def _version(self, asked: Asked) -> dict[str, Any]:
        for registered in self._registered[self._name(asked)]:
            if registered["version"] == asked.get("version"):
                return registered
        raise Refused("RESOURCE_DOES_NOT_EXIST", f"there is no version {asked.get('version')!r} of it")
