"""A slot as the driver hears it, over a channel that is only a list."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopslite.core.types import Spec
from hopslite.executor import slot, workdir
from hopslite.executor.job_spec import Job
from hopslite.executor.trial_process import TrialDirectories
from hopslite.serialization.values import serialize
from tests.helpers.observe import PATIENCE_S, eventually
from tests.helpers.orders import Orders

ENOUGH_BEATS = 2


class Link(Orders):
    """The slot's end of a channel: keeps what the slot says, and sends `exit` when the trial has ended."""

    def __init__(self, *orders: dict[str, Any]) -> None:
        self.said: list[str] = []
        self.result: dict[str, Any] | None = None
        self.changed = threading.Condition()
        super().__init__(*orders)

    def send(self, message: dict[str, Any]) -> None:
        with self.changed:
            self.said.append(message["type"])
            self.changed.notify_all()
        if message["type"] == "ended":
            self.result = message["result"]
            self.put({"type": "exit"})


@pytest.fixture
def job(tmp_path: Path) -> Job:
    run = tmp_path / "Experiments" / "run_1"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (tmp_path / "cwd").mkdir()
    payload = serialize(lambda: 1, [])
    return Job("run_1", "a", str(tmp_path), payload, None, 0, directory=str(tmp_path / "cwd"), needs_metric=False)


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Link]:
    spec = Spec("0000", {}, str(tmp_path / "Experiments/run_1/trials/0000"))
    made = Link({"type": "run", "spec": spec.to_json()})
    yield made
    made.close()


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_it_beats_while_it_copies_files(job: Job, link: Link, isolation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying takes as long as files are big; a driver that hears nothing meanwhile would give the slot up."""
    finish, heard = TrialDirectories.finish, []

    def slowly(place: TrialDirectories) -> list[str]:
        with link.changed:
            so_far = link.said.count("beat")
            heard.append(link.changed.wait_for(lambda: link.said.count("beat") >= so_far + ENOUGH_BEATS, PATIENCE_S))
        return finish(place)

    monkeypatch.setattr(slot, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(TrialDirectories, "finish", slowly)
    slot.serve(link, dataclasses.replace(job, isolation=isolation), None)
    assert heard == [True]
    others = [kind for kind in link.said if kind not in ("beat", "sample")]
    assert others == ["ready", "started", "ended"]


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_a_trial_that_is_not_shown_the_drivers_files_is_told(
    job: Job, link: Link, isolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workdir, "MAX_LINKS", 0)
    Path(job.directory, "data.csv").touch()
    slot.serve(link, dataclasses.replace(job, isolation=isolation), None)
    assert link.result is not None
    [line] = link.result["warnings"]
    assert "1 entries, and up to 0 are shown" in line


def test_it_does_not_beat_on_after_its_end(job: Job, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot, "HEARTBEAT_SECONDS", 0.02)
    slot.serve(link, dataclasses.replace(job, isolation="none"), None)
    eventually(lambda: "hopslite-beat" not in [thread.name for thread in threading.enumerate()], "its thread's end")
