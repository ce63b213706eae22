"""What stands before a run's first trial: neither the snapshot of its program nor the beginning of its record."""

from __future__ import annotations

import threading
from pathlib import Path

from hopslite import experiment
from hopslite.driver import background_snapshot, recorder
from hopslite.driver.background_snapshot import BackgroundSnapshot
from hopslite.pool.inline import Inline


def test_it_begins_with_the_first_trial(monkeypatch, project: str) -> None:
    order: list[str] = []
    save = recorder.save_snapshot
    monkeypatch.setattr(background_snapshot, "LATEST_SECONDS", 60.0)
    monkeypatch.setattr(recorder, "save_snapshot", lambda *args: (order.append("snapshot"), save(*args))[1])
    append_event = recorder.Recorder.append

    def append(self, event):
        order.append(event.kind)
        append_event(self, event)

    monkeypatch.setattr(recorder.Recorder, "append", append)
    run = experiment.launch(lambda: 1, project=project, pool="inline", display=False)
    assert order.index("started") < order.index("snapshot") < order.index("run_ended")
    assert Path(run.logdir, "environment.txt").exists()


def test_slots_start_while_the_record_begins(monkeypatch, project: str) -> None:
    order: list[str] = []
    want, start = Inline.want, recorder.Recorder.start
    monkeypatch.setattr(Inline, "want", lambda self, slots: (order.append(f"want {slots}"), want(self, slots))[1])
    monkeypatch.setattr(recorder.Recorder, "start", lambda self: (order.append("start"), start(self))[1])
    experiment.grid_search(lambda x: x, {"x": [1, 2]}, project=project, pool="inline", display=False)
    assert order[:2] == ["want 2", "start"]


def test_without_a_trial_it_begins_after_a_moment(monkeypatch) -> None:
    monkeypatch.setattr(background_snapshot, "LATEST_SECONDS", 0.01)
    saved = threading.Event()

    def save() -> list[str]:
        saved.set()
        return []

    snapshot = BackgroundSnapshot(save)
    snapshot.start()
    assert saved.wait(10)


def test_without_a_start_there_is_none() -> None:
    BackgroundSnapshot(lambda: ["never"]).join(1.0)
