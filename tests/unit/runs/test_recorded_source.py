"""The recorded source of programs, and the lines of it that tracebacks name."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from hopslite.runs.recorded_source import MOST_BYTES, MOST_FRAMES, MOST_TOTAL, frames_of, read_source
from hopslite.storage.run_directory import RunDir
from hopslite.storage.snapshot import zipped

TRACEBACK = """Traceback (most recent call last):
  File "/home/me/code/train.py", line 3, in train
    step()
  File "/home/me/code/lib/steps.py", line 1, in step
    raise ValueError
  File "/etc/passwd", line 1, in <module>
ValueError
"""


def test_frames_have_the_lines_that_were_recorded(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("\n".join(f"line {i}" for i in range(1, 9)))
    steps = tmp_path / "steps.py"
    steps.write_text("raise ValueError\n")
    (tmp_path / "code.zip").write_bytes(zipped({"lib/steps.py": str(steps), "model.bin": str(steps)}))
    sources = read_source(RunDir(str(tmp_path)), {"program": "train.py"})
    assert list(sources) == ["train.py", "lib/steps.py"]
    frames = frames_of(TRACEBACK, sources)
    assert [(frame.file, frame.line, frame.function) for frame in frames] == [
        ("/home/me/code/train.py", 3, "train"),
        ("/home/me/code/lib/steps.py", 1, "step"),
        ("/etc/passwd", 1, "<module>"),
    ]
    assert frames[0].lines == tuple((number, f"line {number}") for number in range(1, 7))
    assert frames[1].lines == ((1, "raise ValueError"),)
    assert frames[2].lines == ()  # files of this machine are not read


def test_a_damaged_archive_and_no_record(tmp_path: Path) -> None:
    (tmp_path / "code.zip").write_bytes(b"PK\3\4 and so on")
    function = {"name": "train", "source": "def train(): ..."}
    assert read_source(RunDir(str(tmp_path)), {"function": function}) == {"train": "def train(): ..."}
    assert read_source(RunDir(str(tmp_path)), {}) == {}


def archive(kind: int, files: dict[str, bytes]) -> bytearray:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return bytearray(buffer.getvalue())


def test_a_bomb_is_unpacked_only_in_part(tmp_path: Path) -> None:
    files = {f"{number}.py": b" " * MOST_BYTES for number in range(20)}
    (tmp_path / "code.zip").write_bytes(archive(zipfile.ZIP_DEFLATED, {**files, "small.py": b"1"}))
    sources = read_source(RunDir(str(tmp_path)), {})
    assert 0 < sum(map(len, sources.values())) <= MOST_TOTAL


def test_damaged_compression(tmp_path: Path) -> None:
    whole = archive(zipfile.ZIP_LZMA, {"a.py": bytes(range(256)) * 20})
    for place in range(30, 60):
        damaged = whole.copy()
        damaged[place] ^= 0xFF
        (tmp_path / "code.zip").write_bytes(damaged)
        assert set(read_source(RunDir(str(tmp_path)), {})) <= {"a.py"}


def test_a_recursion_has_only_its_innermost_frames() -> None:
    frames = frames_of("\n".join(f'  File "a.py", line {number}, in f' for number in range(1, 1000)), {})
    assert (len(frames), frames[-1].line) == (MOST_FRAMES, 999)
