"""What the browser gets of a run and of the list of runs: valid JSON, no names as keys, changes that add up."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from hopslite.core.types import Event
from hopslite.dashboard import feeds, run_data
from hopslite.dashboard.context import Dashboard
from hopslite.dashboard.feeds import Feed
from hopslite.dashboard.run_list import RunList
from hopslite.errors import RunNotFound
from hopslite.runs.following import FollowedRun
from hopslite.storage.driver_lease import claim
from hopslite.storage.project import Project
from tests.helpers.recorded_runs import append, recorded_run

HOSTILE = ":on<script>alert(1)</script>"


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def keys_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys_in, value.values()))
    return set().union(*map(keys_in, value)) if isinstance(value, list) else set()


def hostile_run(project: str) -> FollowedRun:
    space = {HOSTILE: {"type": "choice", "values": [HOSTILE, float("inf")]}}
    run = recorded_run(project, HOSTILE, 1, state="RUNNING", space=space, tags={HOSTILE: HOSTILE})
    params = {HOSTILE: float("nan"), ":b": [1, {":c": 2}], "c": HOSTILE * 100}
    metrics = {HOSTILE: 1.0, "accuracy": 2.0}
    append(
        run,
        [
            Event("asked", 1e9, "0007", {"params": params}),
            Event("started", 1e9, "0007", {"slot": 0, "host": HOSTILE}),
            Event("report", 1e9, "0007", {"step": 0, "value": 2.0, "metrics": metrics}),
            Event(
                "ended", 1e9, "0007", {"trial_id": "0007", "state": "FAILED", "metric": float("inf"), "error": HOSTILE}
            ),
        ],
    )
    followed = FollowedRun(run)
    followed.refresh()
    return followed


def test_names_from_runs_are_never_keys(project: str) -> None:
    followed = hostile_run(project)
    for text in (run_data.snapshot(followed), run_data.changes(followed, 0) or ""):
        data = strict(text)
        assert not {key for key in keys_in(data) if not key.isalnum()}
        assert HOSTILE in data["params"]
        assert HOSTILE in data["metrics"]


def test_changes_add_up_to_the_whole(project: str) -> None:
    run = recorded_run(project, "growing", 3, state="RUNNING")
    feed = Feed(run)
    first = strict(feed.snapshot())
    append(
        run,
        [Event("asked", 2e9, "0003", {"params": {"rate": 0.1, "new": 1}}), Event("started", 2e9, "0003", {"slot": 1})],
    )
    feed.refresh()
    append(run, [Event("report", 2e9, "0003", {"step": 0, "value": 0.5, "metrics": {"accuracy": 0.5, "other": 1.0}})])
    feed.refresh()
    revision, text = feed.changes(first["rev"])
    changes, whole = strict(text or ""), strict(feed.snapshot())
    assert changes["from"] == first["rev"]
    assert changes["rev"] == whole["rev"] == revision
    assert [row[0] for row in changes["trials"]] == ["0003"]
    assert [*first["trials"], *changes["trials"]] == whole["trials"] or len(first["trials"][0][3]) < len(
        whole["params"]
    )
    assert changes["points"] == [["0003", 0, 0.0, 0.5], ["0003", 2, 0.0, 1.0]]
    assert feed.changes(first["rev"])[1] is text  # for the next page


def test_pages_that_lack_too_much_load_anew(project: str) -> None:
    followed = hostile_run(project)
    assert run_data.changes(followed, followed.revision + 1) is None
    followed.first_recent = 5
    assert run_data.changes(followed, 4) is None


def test_of_many_trials_some_have_their_curves(project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_data, "CURVES", 5)
    run = recorded_run(project, "many", 20, state="RUNNING")
    begun = [Event("asked", 2e9, "0021", {"params": {}}), Event("started", 2e9, "0021", {"slot": 1})]
    append(run, [*begun, Event("report", 2e9, "0021", {"step": 0, "value": 0.5, "metrics": {"accuracy": 0.5}})])
    followed = FollowedRun(run)
    followed.refresh()
    assert followed.best is not None
    data = strict(run_data.snapshot(followed))
    assert data["metrics"][data["curvesOf"]] == "accuracy"
    drawn = {curve[0] for curve in data["curves"]}
    assert {followed.best.id, "0021"} <= drawn  # the best, and what goes on
    assert len(drawn) <= 7
    assert {row[-1] is None for row in data["trials"]} == {False}  # the latest report is there of all
    loss = data["metrics"].index("loss")
    assert {curve[0] for curve in strict(run_data.curves(followed, loss))["curves"]} == drawn - {"0021"}
    some = strict(run_data.curves(followed, loss, ["0001", "no-such", "0002"]))
    assert ([curve[0] for curve in some["curves"]], some["isSample"]) == (["0001", "0002"], False)
    assert strict(run_data.curves(followed, -1))["curves"] == strict(run_data.curves(followed, 99))["curves"] == []


@pytest.mark.parametrize("run_id", ["..", ".", "", "a/b", "../x", ".versions", "no-such", "x\x00y", "a" * 300])
def test_paths_do_not_leave_the_project(project: str, run_id: str) -> None:
    recorded_run(project, "one", 1)
    with pytest.raises(RunNotFound):
        Dashboard(Project(project)).run(run_id)


def test_list_of_runs(project: str) -> None:
    first = recorded_run(project, "one", 4)
    going = recorded_run(project, "two", 3, state="QUEUED")
    os.makedirs(f"{project}/Experiments/damaged")
    Path(project, "Experiments", "damaged", "run.json").write_text('{"name": 5')
    runs = RunList(Project(project))
    runs.refresh({})
    revision, text = runs.changes(0)
    rows = {row["id"]: row for row in strict(text)["changed"]}
    assert [row["state"] for row in rows.values()].count("DAMAGED") == 1
    one = rows[first.url.rpartition("/")[2]]
    assert (one["name"], one["version"], one["state"], one["total"]) == ("one", 1, "FINISHED", 4)
    assert len(one["curve"]) == 4
    assert one["curve"] == sorted(one["curve"])
    runs.refresh({going.url: Feed(going)})
    runs.refresh({})
    assert runs.changes(runs.revision)[1] == ""
    first.write_json("notes.json", {"tags": {"kept": "yes"}, "note": ""})
    runs.refresh({})
    [changed] = strict(runs.changes(revision)[1])["changed"]
    assert (changed["tags"], len(changed["curve"])) == ("kept=yes", 4)
    first.remove_all()
    runs.refresh({})
    assert strict(runs.changes(revision)[1])["removed"] == [one["id"]]


def test_a_link_to_a_run_elsewhere_is_none(project: str, tmp_path: Path) -> None:
    run = recorded_run(str(tmp_path / "elsewhere"), "one", 1)
    os.makedirs(f"{project}/Experiments")
    os.symlink(run.url, f"{project}/Experiments/link")
    with pytest.raises(RunNotFound):
        Dashboard(Project(project)).run("link")


def test_listeners_hear_of_what_another_page_has_read(project: str) -> None:
    feed = Feed(recorded_run(project, "shared", 2, state="RUNNING"))
    heard: list[int] = []
    feed.listen(lambda: heard.append(feed.revision))
    feed.refresh()  # by the page of a trial, between two looks of the one who follows the run
    feed.refresh()
    feed.notify()
    feed.notify()
    assert heard == [feed.revision]


def test_a_run_that_cannot_be_followed_says_so(project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(recorded_run(project, "broken", 1))

    def fail(_: FollowedRun) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(FollowedRun, "refresh", fail)
    heard: list[str | None] = []
    feed.listen(lambda: heard.append(feed.problem))
    asyncio.run(feeds.Feeds()._follow(feed))
    assert heard == ["the run is not followed any more, because of an error in hopslite: see the terminal"]


def test_time_between_two_drivers_does_not_count(project: str) -> None:
    now = time.time()
    run = recorded_run(project, "resumed", 0, state="RUNNING", started=now - 9000)
    with open(run.path("journal", "000001.jsonl"), "w", encoding="utf-8"):
        pass
    append(
        run,
        [
            Event("run_started", now - 9000, None, {"state": "RUNNING", "started": now - 9000}),
            Event("asked", now - 8900, "0000", {"params": {}}),
            Event("resumed", now - 50, None, {"session": 2}),
        ],
    )
    followed = FollowedRun(run)
    lease = claim(run)
    try:
        followed.refresh()
        assert followed.elapsed(now) == pytest.approx(150)
        assert 150 <= run_data.run_facts(followed)["elapsed"] < 1000
        runs = RunList(Project(project))
        runs.refresh({})
        runs.refresh({run.url: Feed(run)})
        assert 150 <= strict(runs.changes(0)[1])["changed"][0]["duration"] < 1000
    finally:
        lease.release()
