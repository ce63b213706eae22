"""Public names and signatures stay as they are recorded in `public_api.json`; additions are allowed."""

from __future__ import annotations

import copy
import json

from tests.helpers.public_api import RECORD, Api, public_api, removals


def recorded() -> Api:
    api: Api = json.loads(RECORD.read_text())
    return api


def test_no_public_name_or_parameter_is_gone_or_changed() -> None:
    assert removals(recorded(), public_api()) == []


def test_the_record_has_what_users_call() -> None:
    api = recorded()
    assert len(api) > 300
    assert ["max_retries", "KEYWORD_ONLY", "2"] in api["experiment.launch"]
    assert ["grid_dict", "POSITIONAL_OR_KEYWORD"] in api["experiment.grid_search"]
    assert "result.Run.best_params" in api
    assert "search.Search.ask" in api


def test_additions_are_allowed() -> None:
    now = copy.deepcopy(recorded())
    now["experiment.another"] = []
    now["experiment.launch"].insert(7, ["another", "KEYWORD_ONLY", "None"])
    assert removals(recorded(), now) == []


def test_removals_and_changes_are_seen() -> None:
    now = copy.deepcopy(recorded())
    del now["hdfs.exists"]
    launch = now["experiment.launch"]
    launch[1], launch[2] = launch[2], launch[1]
    launch[-1][2] = "'other'"
    now["experiment.end"] = [["needed", "KEYWORD_ONLY"]]
    now["stop.Median"] = "value"
    changes = "\n".join(removals(recorded(), now))
    for change in ("hdfs.exists is gone", "positional parameters were", launch[-1][0], "metric",
                   "needed has no default", "stop.Median was"):  # fmt: skip
        assert change in changes
