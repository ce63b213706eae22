"""The commands `hopslite data …`."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from hopslite import cli, data, experiment
from hopslite.cli.data import _bytes
from tests.helpers.data_files import make_tree, read_tree

Answer = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Answer:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def answer(*words: str) -> tuple[int, str, str]:
        code = cli.main(["data", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return answer


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for split, name, count in (("train", "rose", 3), ("train", "tulip", 2), ("test", "rose", 1)):
        for n in range(count):
            path = tmp_path / "photos" / split / name / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (200, 150), (40 * n, 100, 200)).save(path)
    return tmp_path / "photos"


def test_a_data_set_from_its_beginning_to_its_end(ask: Answer, photos: Path) -> None:
    assert "it has no data sets yet; hopslite data create NAME" in ask("ls")[2]
    assert ask("create", "flowers", "--description", "by the road")[0] == 0
    code, out, err = ask("upload", "flowers", "photos")
    assert (code, out.splitlines()[0].partition(",")[0]) == (0, "data:flowers/1: 6 files")
    assert "6 files" in err
    make_tree(photos, {"README": b"read"})
    code, out, err = ask("upload", "flowers", "photos")
    assert "are there already, 4 bytes to send" in err
    assert [line.split()[:4] for line in ask("ls")[1].splitlines()[1:]] == [["flowers", "2", "2", "7"]]
    assert [line.split()[:2] for line in ask("ls", "flowers")[1].splitlines()[1:]] == [["2", "7"], ["1", "6"]]
    run = experiment.launch(lambda: 1, inputs={"train": "data:flowers/1"}, name="use", pool="inline", display=False)
    for path, message in (("no/sheet.png", "there is no folder"), (".", "is a folder; give the path of a file")):
        code, _, err = ask("show", "flowers/1", "--sheet", path)
        assert code == 1 and message in err and "Traceback" not in err
    code, out, _ = ask("show", "flowers/1", "--sheet", "sheet.png")
    assert code == 0
    assert f"use/1 (FINISHED, {run.run_id})" in out
    assert "  train: 2 classes, 5 files: rose 3, tulip 2" in out
    assert "test/rose/0.png" in out
    with Image.open("sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.getpixel((20, 60)) == (0, 100, 200)
    facts = json.loads(ask("show", "flowers/1", "--json")[1])
    assert facts["classes"] == {"test": {"rose": 1}, "train": {"rose": 3, "tulip": 2}}
    assert facts["runs"][0]["run_id"] == run.run_id
    assert len(facts["files"]["test/rose/0.png"]["sha256"]) == 64
    assert ask("show", "flowers")[1].count("none used it yet") == 1
    assert ask("download", "flowers", "-o", "copied")[0] == 0
    assert read_tree("copied") == read_tree(photos)
    code, out, err = ask("rm", "flowers/1")
    assert (code, "nothing deleted" in err, f"used by use/1 (FINISHED, {run.run_id})" in err) == (1, True, True)
    assert ask("rm", "flowers/1", "-y")[0] == 0
    assert ask("rm", "flowers", "-y")[1].startswith("deleted the data set flowers with 1 version")
    assert ask("ls", "--json")[1].strip() == "[]"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["create", "flowers"], 1, "there is a data set 'flowers'"),
        (["create", "a/b"], 1, "has '/', which cannot be in the name"),
        (["upload", "flowrs", "photos"], 3, "did you mean 'flowers'"),
        (["upload", "flowers", "photo"], 1, "there is nothing at photo; did you mean 'photos'"),
        (["upload", "flowers"], 2, "Missing argument"),
        (["upload", "flowers", "photos", "--max-unpacked", "much"], 2, "'much' is no size; give a number of bytes"),
        (["show", "flowers"], 3, "has no version yet"),
        (["show", "flowers/3"], 3, "version 3 .* does not exist"),
        (["download", "flowers/x"], 1, "'x' is no version"),
        (["rm", "flowers/3", "-y"], 3, "version 3 .* does not exist"),
        (["upolad", "flowers", "photos"], 2, "there is no command 'upolad'; did you mean 'upload'"),
    ],
)
def test_mistakes(ask: Answer, photos: Path, words: list[str], code: int, message: str) -> None:
    data.create("flowers")
    given, out, err = ask(*words)
    assert (given, out) == (code, "")
    assert "Traceback" not in err
    assert re.search(message, err), err


def test_sizes() -> None:
    sizes = {"500": 500, "500b": 500, "1.5kB": 1500, "20GB": 20_000_000_000, "2 TB": 2_000_000_000_000}
    assert {text: _bytes(None, None, text) for text in sizes} == sizes  # type: ignore[arg-type]


def test_without_pillow_one_line_says_how(ask: Answer, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask("create", "flowers")
    ask("upload", "flowers", "photos")
    monkeypatch.setitem(sys.modules, "PIL", None)
    line = 'needs Pillow: pip install "hopslite[plots]"'
    assert line in ask("show", "flowers")[1]
    code, _, err = ask("show", "flowers", "--sheet", "x.png")
    assert code == 1
    assert 'pip install "hopslite[plots]"' in err
    assert len(err.splitlines()) == 1


def test_no_images(ask: Answer, tmp_path: Path) -> None:
    ask("create", "words")
    ask("upload", "words", str(make_tree(tmp_path / "t", {"a.txt": b"a", "b.png": b"no image"})))
    assert ask("show", "words", "--sheet", "x.png")[0] == 0, "a damaged image is a grey field"
    ask("upload", "words", str(tmp_path / "t" / "a.txt"))
    assert "has no images" in ask("show", "words", "--sheet", "x.png")[2]
