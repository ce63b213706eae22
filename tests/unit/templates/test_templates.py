"""Templates of `hopslite new`: what a folder has, and what is refused."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hopslite import templates
from hopslite.cli import main
from hopslite.errors import InvalidArguments
from hopslite.submission.job_file import read_job
from tests.helpers import ROOT

SOURCE = ROOT / "hopslite" / "templates"
NAMES = sorted(templates.descriptions())


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_has_a_program_its_job_a_readme_and_tests(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "below" / "mine"
    files = templates.create(name, str(folder))
    assert {"README.md", "job.yml", "test_train.py", "train.py"} <= set(files)
    assert files == sorted(os.listdir(folder))
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("name", NAMES)
def test_each_parameter_is_described_and_is_an_option_of_the_program(name: str) -> None:
    job = read_job(str(SOURCE / name / "job.yml"))
    assert job["descriptions"].keys() == job["params"].keys()
    assert all(description.help for description in job["descriptions"].values())
    text = (SOURCE / name / "train.py").read_text()
    options = set(re.findall(r'add_argument\("--([\w-]+)"', text))
    assert set(job["params"]) <= options  # they are passed under these names
    imported = {node.names[0].name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import)}
    assert "hopslite" not in imported or name == "config"


def test_an_empty_folder_is_used_and_one_with_files_is_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    templates.create("script", str(tmp_path / "empty"))
    for taken in ("empty", "file"):
        (tmp_path / "file").write_text("mine")
        with pytest.raises(InvalidArguments, match=rf"{taken} exists; give the path of a folder that does not"):
            templates.create("script", str(tmp_path / taken))
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["empty", "file"]


@pytest.mark.parametrize(
    ("template", "folder", "message"),
    [
        ("sklear", "x", r"there is no template 'sklear'; did you mean 'sklearn'\?"),
        ("zzz", "x", r"there is no template 'zzz'; templates: .*keras, pytorch, script, sklearn"),
        ("../templates/keras", "x", "there is no template"),
        ("script", "/proc/x", r"/proc/x cannot be written \(.*\); give another path"),
    ],
)
def test_what_is_refused(
    template: str,
    folder: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", template, folder]) == 1
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert "Traceback" not in said
    assert os.listdir(tmp_path) == []


def test_of_two_at_once_one_gets_the_folder(tmp_path: Path) -> None:
    for attempt in range(20):
        outcomes: list[object] = []

        def make(template: str, folder: str = str(tmp_path / str(attempt)), to: list[object] = outcomes) -> None:
            try:
                to.append(templates.create(template, folder))
            except InvalidArguments as error:
                to.append(error)

        threads = [threading.Thread(target=make, args=(name,)) for name in ("script", "sklearn")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["InvalidArguments", "list"]
        assert len(os.listdir(tmp_path / str(attempt))) == 4


def test_one_that_is_killed_leaves_no_part_of_a_folder(tmp_path: Path) -> None:
    program = (
        "import shutil, time; from hopslite import templates\n"
        "copy = shutil.copyfile\n"
        "def slow(source, target, **options):\n"
        "    copy(source, target, **options); print('copied', flush=True); time.sleep(60)\n"
        "shutil.copyfile = slow\n"
        "templates.create('script', 'mine')"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, env=os.environ)
    assert process.stdout and process.stdout.readline() == b"copied\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "mine").exists()
    templates.create("script", str(tmp_path / "mine"))


def test_the_help_lists_the_templates(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(re.search(rf"^  {name}  +\w", said, re.MULTILINE) for name in NAMES)
