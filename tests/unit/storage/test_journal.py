"""Journals are parsed many lines at once; what is read is what each line alone would give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hopslite.core.types import Event
from hopslite.storage import journal
from hopslite.storage.journal import JournalReader, parse_event
from hopslite.storage.records import is_sound
from hopslite.storage.run_directory import RunDir


def line(number: int) -> bytes:
    return (
        Event("report", float(number), f"{number:04d}", {"step": number, "value": 0.5, "attempt": 0}).to_line().encode()
    )


GARBAGE = [
    b"{",
    b"}",
    b"\x00\xff",
    b"[]",
    b"{}",
    b'{"kind": 3}',
    b"{" * 100_000 + b"}",
    b'{"a": NaN}, {"a": 1}',
    line(7) + b"," + line(8),
    b'{"a": [{}',
    b"{}]}",
    b"\0\0" + line(7) + b"\0",
    line(7)[:-3],
    b" " + line(7),
    b'{"kind": "asked", "time": 1, "trial": "../../x", "data": {"params": {}}}',
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("place", [0, 3, 4, 9])
def test_any_line_among_others(garbage: bytes, place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LINES_AT_ONCE", 4)
    lines = [line(number) for number in range(9)]
    lines.insert(place, garbage)
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "000001.jsonl").write_bytes(b"".join(each + b"\n" for each in lines))
    reader = JournalReader(RunDir(str(tmp_path)))
    assert list(reader.new()) == [event for each in lines if (event := parse_event(each)) is not None]
    assert (reader.damage is None) == (parse_event(garbage) is not None)


def test_sound_lines_are_not_parsed_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "000001.jsonl").write_bytes(b"".join(line(number) + b"\n" for number in range(2500)))
    calls = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda text: calls.append(text) or loads(text))
    assert len(list(JournalReader(RunDir(str(tmp_path))).new())) == 2500
    assert len(calls) == 3


def test_an_end_without_its_trial_is_no_event_of_a_run() -> None:
    """A result cannot be made of it, and a resume would fail."""
    assert is_sound(Event("ended", 1.0, "0000", {"trial_id": "0000", "state": "FINISHED"}))
    assert not is_sound(Event("ended", 1.0, "0000", {"state": "FINISHED"}))


def test_kinds_that_are_left_out_are_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the last line of each segment, and for what may be the remains of other events."""
    report, end = line(1), Event("ended", 2.0, "0001", {"state": "FINISHED", "trial_id": "0001"}).to_line().encode()
    (tmp_path / "journal").mkdir()
    torn = report[:40] + end  # the write of a report broke off
    first, second = tmp_path / "journal" / "000001.jsonl", tmp_path / "journal" / "000002.jsonl"
    first.write_bytes(b"\n".join([report, end, report, torn, line(3), line(4), b""]))
    second.write_bytes(b"\n".join([line(5), end, b" " + line(6), line(7), b""]))
    parsed = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or loads(text))
    reader = JournalReader(RunDir(str(tmp_path)))
    kinds = [(event.kind, event.time) for event in reader.new(without=("report", "sample"))]
    assert kinds == [("ended", 2.0), ("report", 4.0), ("ended", 2.0), ("report", 6.0), ("report", 7.0)]
    assert reader.damage is not None and "1 line" in reader.damage
    assert not any(report in text for text in parsed)
