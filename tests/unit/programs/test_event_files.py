"""Names of scalars in the event files of several writers."""

from __future__ import annotations

from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from hopslite.programs.event_files import EventFiles


class Taken:
    def __init__(self) -> None:
        self.names: dict[str, list[float]] = {}

    def take(self, name: str, value: float, step: int | None) -> None:
        self.names.setdefault(name, []).append(value)


def write(folder: Path, tag: str, value: float) -> None:
    writer = EventFileWriter(str(folder))
    writer.add_event(Event(step=0, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)])))
    writer.close()


def test_writers_that_are_called_as_parts_of_the_data_are_in_the_names(tmp_path: Path) -> None:
    files, taken = EventFiles([str(tmp_path)], without=str(tmp_path / "none")), Taken()
    write(tmp_path / "out" / "train", "loss", 1)
    files.tell(taken)
    assert taken.names == {"train/loss": [1]}, "before there is another writer"
    write(tmp_path / "out" / "test", "loss", 2)
    write(tmp_path / "out" / "train", "loss", 3)  # another file of the same writer
    write(tmp_path / "logs", "accuracy", 4)
    write(tmp_path / "Validation", "accuracy", 5)
    files.tell(taken)
    assert taken.names == {
        "train/loss": [1, 3], "test/loss": [2], "accuracy": [4], "Validation/accuracy": [5]
    }  # fmt: skip


def test_other_writers_are_where_they_would_be_mistaken_for_each_other(tmp_path: Path) -> None:
    files, taken = EventFiles([str(tmp_path)], without=str(tmp_path / "none")), Taken()
    for value, folder in enumerate(["a", "b", "fold1/train", "fold2/train"]):
        write(tmp_path / folder, "loss", value)
        write(tmp_path / folder, f"only{value}", value)
    files.tell(taken)
    assert taken.names.keys() == {
        "loss", "b/loss", "train/loss", "fold2/train/loss", "only0", "only1", "train/only2", "train/only3"
    }  # fmt: skip
