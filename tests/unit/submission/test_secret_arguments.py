"""Secret arguments of programs are in no file of a run, and are given again when it is resumed."""

from __future__ import annotations

import functools
import json
import zipfile
from pathlib import Path

import pytest

from hopslite import experiment
from hopslite.cli import main
from hopslite.space.notation import Axis
from hopslite.submission.job import merged_job

RUN = ["run", "--pool", "inline", "--no-display", "--tracking-uri", "off", "--name", "secret"]
PROGRAM = """
import json, os, sys
words = {"argv": sys.argv[1:], "params": json.loads(os.environ["HOPSLITE_PARAMS"])}
words["token"] = os.environ.get("HOPSLITE_PARAM_TOKEN")
open(os.environ["WORDS"], "a").write(json.dumps(words) + "\\n")
sys.exit(not os.path.exists(os.environ["WORDS"] + ".works"))
"""


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the program writes how it was called; the current folder is the program's."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "train.py").write_text(PROGRAM)
    again = experiment.resume
    in_here = functools.wraps(again)(lambda *args, **options: again(*args, **options, pool="inline", display=False))
    monkeypatch.setattr(experiment, "resume", in_here)  # otherwise it would start Spark
    monkeypatch.chdir(code)
    monkeypatch.setenv("WORDS", str(tmp_path / "words"))
    return tmp_path / "words"


@pytest.mark.parametrize(
    ("line", "argv"),
    [
        (["train.py", "--lr", "0.1", "--token", "s3cret-1"], ["--lr", "0.1", "--token", "s3cret-1"]),
        (["train.py", "--token=s3cret-1", "--lr", "0.1"], ["--token=s3cret-1", "--lr", "0.1"]),
        (["train.py", "fit", "--", "--token", "s3cret-1", "$A"], ["fit", "--", "--token", "s3cret-1", "$A"]),
        (["python train.py --url https://me:s3cret-1@x/y"], ["--url", "https://me:s3cret-1@x/y"]),
        (["job.yml", "--lr", "0.2"], ["-v", "--token", "s3cret-0", "--token", "s3cret-1", "--lr", "0.2"]),
    ],
)
def test_arguments(
    line: list[str], argv: list[str], words: Path, project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job = "command: python train.py -v --token s3cret-0\nparams: {token: s3cret-1, lr: 0.1}\n"
    (words.parent / "code" / "job.yml").write_text(job if line[0] == "job.yml" else "")
    assert main([*RUN, *line]) == 1
    assert json.loads(words.read_text())["argv"] == argv
    assert files_with("s3cret", project) == []
    words.with_suffix(".works").touch()
    run = experiment.load("secret")
    assert main(["resume", run.run_id, "--retry-failed"]) == 1
    error = capsys.readouterr().err
    assert "are in no record: HOPSLITE_PARAM_" in error and "--env HOPSLITE_PARAM_" in error
    name = "URL" if "--url" in line[0] else "TOKEN"
    values = {f"HOPSLITE_PARAM_{name}": "new-1"}
    if line[0] == "job.yml":
        values = {"HOPSLITE_PARAM_TOKEN": "new-1", "HOPSLITE_PARAM_TOKEN__2": "new-0"}
    options = [word for item in values.items() for word in ("--env", "=".join(item))]
    assert main(["resume", run.run_id, "--retry-failed", *options]) == 0
    again = json.loads(words.read_text().splitlines()[-1])
    expected = [word.replace("https://me:s3cret-1@x/y", "new-1").replace("s3cret-", "new-") for word in argv]
    assert again["argv"] == expected


def test_lists_of_secrets(words: Path, project: str) -> None:
    words.with_suffix(".works").touch()
    assert main([*RUN, "train.py", "--token", '["s3cret-1", "s3cret-2"]', "--password", "12345678"]) == 0
    calls = [json.loads(line) for line in words.read_text().splitlines()]
    assert sorted(call["argv"] for call in calls) == [
        ["--token", f"s3cret-{number}", "--password", "12345678"] for number in (1, 2)
    ]
    for call in calls:
        assert call["params"] == {"token": call["argv"][1], "password": "12345678"}
        assert call["token"] == call["argv"][1]
    assert files_with("s3cret", project) == files_with("12345678", project) == []


def test_axes_stay_as_they_are(words: Path) -> None:
    job = merged_job("train.py", ["--lr", "loguniform(1e-4, 1)", "--token", "choice(a1b2c3d4, e5f6g7h8)"], {})
    assert {name: type(value) for name, value in job["params"].items()} == {"lr": Axis, "token": Axis}
    assert job["env"] == {}


def test_variables_stay_as_they_are(words: Path, project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words.with_suffix(".works").touch()
    monkeypatch.setenv("MINE", "s3cret")
    assert main([*RUN, "train.py", "--token", "$MINE", "--pad_token", "<pad>"]) == 0
    assert json.loads(words.read_text())["argv"] == ["--token", "s3cret", "--pad_token", "<pad>"]
    assert files_with("s3cret", project) == []


def test_places_of_parameters_stay_as_they_are(words: Path, project: str) -> None:
    words.with_suffix(".works").touch()
    command = "python train.py --token {token} --api-key={key_of_api} --password={other}"
    job = f"command: {command}\nparams: {{token: s3cret-1, key_of_api: k1}}\n"
    (words.parent / "code" / "job.yml").write_text(job)
    assert main([*RUN, "job.yml"]) == 0
    assert json.loads(words.read_text())["argv"] == ["--token", "s3cret-1", "--api-key=k1", "--password={other}"]
    assert files_with("s3cret", project) == []


def test_lists_with_a_variable(words: Path, project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words.with_suffix(".works").touch()
    monkeypatch.setenv("MINE", "s3cret-1")
    assert main([*RUN, "train.py", "--token", '["$MINE", "s3cret-2"]']) == 0
    calls = [json.loads(line) for line in words.read_text().splitlines()]
    assert sorted(call["argv"][1] for call in calls) == ["s3cret-1", "s3cret-2"]
    assert files_with("s3cret", project) == []


def files_with(text: str, project: str) -> list[Path]:
    paths = [path for path in Path(project).rglob("*") if path.is_file()]
    for path in paths:
        if path.name == "code.zip":
            with zipfile.ZipFile(path) as archive:
                assert not any(text.encode() in archive.read(name) for name in archive.namelist())
    return [path for path in paths if text.encode() in path.read_bytes()]
