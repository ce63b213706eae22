"""Collection of a program's new files into its trial, without those that came with the code."""

from __future__ import annotations

import errno
import io
import os
import socket
import zipfile
from pathlib import Path

import pytest

from hopslite.executor import program_folder
from hopslite.executor.program_folder import collect_files, unpack
from hopslite.storage import cache

CODE = {"train.py": "print()", "src/model.py": "1", "conf/a.yml": "a: 1", "results.csv": "epoch\n", "same.txt": "same"}


class Trial:
    """A trial's directory, and attempts of a program that write into their folder."""

    def __init__(self, folder: Path) -> None:
        self.directory, self.program = folder / "trial", folder / "program"
        self.directory.mkdir()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, text in CODE.items():
                archive.writestr(name, text)
        self._code = packed.getvalue()

    def begin(self) -> None:
        self.write({".hparams.json": "{}"}, self.directory)
        unpack(self._code, str(self.program))

    def write(self, files: dict[str, str], folder: Path | None = None) -> None:
        for name, text in files.items():
            path = (folder or self.program) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_text(text)

    def end(self) -> list[str]:
        """Keep what there is; returns the warnings."""
        warnings = collect_files(str(self.program), str(self.directory))
        assert not list(self.program.parent.glob("program*")), "the program's folder was left behind"
        return warnings

    @property
    def stored(self) -> dict[str, str]:
        paths = [path for path in self.directory.rglob("*") if path.is_symlink() or path.is_file()]
        return {
            str(path.relative_to(self.directory)): f"-> {os.readlink(path)}" if path.is_symlink() else path.read_text()
            for path in paths
            if path.name != ".hparams.json"
        }


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_what_is_new_or_changed_is_kept(trial: Trial) -> None:
    trial.begin()
    trial.write({"out/checkpoint.txt": "2", "results.csv": "epoch\n1\n", "src/model.bin": "b", ".hidden": "h"})
    trial.write({"same.txt": "same", "conf/a.yml": "a: 2"})
    (trial.program / "src" / "model.py").chmod(0o600)
    (trial.program / "empty").mkdir()
    assert trial.end() == []
    assert trial.stored == {
        "out/checkpoint.txt": "2", "results.csv": "epoch\n1\n", "src/model.bin": "b", ".hidden": "h",
        "conf/a.yml": "a: 2",
    }  # fmt: skip
    assert trial.end() == []


def test_what_is_no_result_is_not(trial: Trial, tmp_path: Path) -> None:
    trial.begin()
    trial.write(
        {"src/__pycache__/model.pyc": "", "x.pyc": "", ".cache/hub/blob": "", "pip/CACHEDIR.TAG": "", "pip/a": ""}
    )
    os.mkfifo(trial.program / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(trial.program / "socket"))
    (tmp_path / "data.csv").write_text("1")
    shared = cache.fetch(str(tmp_path / "data.csv"), "known")
    cache.link(shared, str(trial.program / "data.csv"))
    assert trial.end() == []
    assert trial.stored == {}
    assert Path(shared).read_text() == "1"


def test_links(trial: Trial, tmp_path: Path) -> None:
    trial.begin()
    trial.write({"ckpt/5/weights": "w", "ckpt/notes": "n"})
    trial.write({"final": "f"}, trial.directory / "output")
    (tmp_path / "outside").write_text("x")
    for name, target in {
        "latest": "ckpt/5", "ckpt/best": trial.program / "ckpt" / "5" / "weights", "chain": "latest/weights",
        "config": "conf/a.yml", "code": "src", "loop": ".", "ckpt/up": "..", "nowhere": "gone",
        "outside": tmp_path / "outside", "final": trial.directory / "output" / "final",
    }.items():  # fmt: skip
        (trial.program / name).symlink_to(target)
    trial.end()
    assert trial.stored == {
        "ckpt/5/weights": "w", "ckpt/notes": "n", "output/final": "f", "latest": "-> ckpt/5",
        "ckpt/best": "-> 5/weights", "chain": "-> ckpt/5/weights", "config": "a: 1", "final": "-> output/final",
    }  # fmt: skip
    assert (trial.directory / "latest" / "weights").read_text() == "w"


def test_names_that_others_have(trial: Trial) -> None:
    trial.begin()
    trial.write({"output.log": "said", "output/a.txt": "told"}, trial.directory)
    own = {
        "output.log": "mine",
        ".metric": "mine",
        ".outputs.json": "mine",
        "output/a.txt": "mine",
        "output/b.txt": "b",
    }
    trial.write({**own, "events.out.tfevents.0.hopslite": "mine", "deep/output.log": "mine"})
    trial.end()
    assert trial.stored == {
        "output.log": "said", "output-2.log": "mine", ".metric-2": "mine", ".outputs-2.json": "mine",
        "output/a.txt": "told", "output/a-2.txt": "mine", "output/b.txt": "b", "deep/output.log": "mine",
        "events.out.tfevents.0-2.hopslite": "mine",
    }  # fmt: skip
    trial.begin()
    trial.write({"output.log/x": "a directory"})
    trial.end()
    assert trial.stored["output-3.log/x"] == "a directory"


def test_a_later_attempt_replaces_an_earlier_ones(trial: Trial) -> None:
    trial.begin()
    trial.write({"out/a": "1", "only": "1", "file": "1", "x/y": "1"})
    (trial.program / "last").symlink_to("x")
    trial.end()
    trial.begin()
    trial.write({"out/a": "2", "file/now": "2", "last/y": "2", "x": "2"})
    trial.end()
    assert trial.stored == {
        "out/a": "2", "only": "1", "file/now": "2", "last/y": "2", "x/y": "1", "x-2": "2",
    }  # fmt: skip


def test_whatever_a_program_has_allowed(trial: Trial) -> None:
    trial.begin()
    trial.write({"closed/deep/a": "a"})
    (trial.program / "closed" / "deep" / "a").chmod(0o400)
    (trial.program / "closed" / "deep").chmod(0o500)
    (trial.program / "closed").chmod(0)
    trial.end()
    assert trial.stored == {"closed/deep/a": "a"}


def test_another_disk_and_one_that_is_full(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def between(source: str, target: str) -> None:
        if str(target).startswith(str(trial.directory)):
            raise OSError(errno.EXDEV, "another disk")
        rename(source, target)

    def full(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    trial.begin()
    monkeypatch.setattr(os, "rename", between)
    trial.write({"out/a": "1"})
    with monkeypatch.context() as patch:
        patch.setattr(program_folder, "put_local", full)
        with pytest.raises(OSError, match="No space"):
            trial.end()
    assert (trial.program / "out" / "a").read_text() == "1"
    trial.end()
    assert trial.stored == {"out/a": "1"}


def test_the_largest_files_are_left_out_and_named(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_folder, "MOST_BYTES", 100)
    trial.begin()
    trial.write({"data/a": "0" * 80, "data/b": "0" * 40, "c": "0"})
    (trial.program / "link").symlink_to("data/a")
    [warning] = trial.end()
    assert trial.stored.keys() == {"c", "data/b"}
    assert warning.startswith("1 file with 80 bytes of the program's working directory were left out, as 100 bytes and")
    assert "data/ (80 bytes); write results to $HOPSLITE_OUTPUT" in warning


def test_many_files_of_one_folder_displace_no_others(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_folder, "MOST_FILES", 5)
    trial.begin()
    trial.write({**{f"images/{n}": "0" for n in range(9)}, "zoo/model": "1", "last.txt": "1"})
    [warning] = trial.end()
    assert trial.stored.keys() == {"images/0", "images/1", "images/2", "zoo/model", "last.txt"}
    assert warning.startswith("6 files with 6 bytes") and "images/ (6 bytes)" in warning


def test_what_the_ignore_file_lists_is_not_kept_and_named(trial: Trial) -> None:
    trial.begin()
    trial.write({".hopsliteignore": "*.tmp\n/cache/\n"})
    trial.write({"a.tmp": "0", "cache/x": "0", "cache/y": "0", "out/b.tmp": "0", "out/model": "1"})
    [warning] = trial.end()
    assert set(trial.stored) - {".hopsliteignore"} == {"out/model"}
    assert warning == "not kept, as .hopsliteignore lists them: cache/, a.tmp, out/b.tmp"


def test_one_that_was_ended_while_it_unpacked_leaves_nothing(trial: Trial) -> None:
    trial.write({"train.py": "pri"}, Path(f"{trial.program}.partial"))
    trial.end()
    assert trial.stored == {}
