"""Inputs of `hopslite run`: what a source means, and where programs see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hopslite import cli, experiment
from hopslite.errors import InvalidArguments
from hopslite.storage.project import Project
from hopslite.submission.inputs import JobInput, locate_inputs, parse_input

OPTIONS: dict[str, Any] = {"pool": "inline", "display": False, "tracking_uri": "off"}
READS = 'import os; print(open(os.environ["HOPSLITE_INPUT_A"]).read())'


@pytest.mark.parametrize(
    ("text", "source", "mount"),
    [
        ("data.csv", "data.csv", None),
        ("data.csv:/data", "data.csv", "/data"),
        ("s3://bucket/x", "s3://bucket/x", None),
        ("s3://bucket/x:/mnt/in/", "s3://bucket/x", "/mnt/in"),
        ("runs:/a/1/trials/0001", "runs:/a/1/trials/0001", None),
        ("runs:/a/1:/data", "runs:/a/1", "/data"),
        ("data:flowers/2", "data:flowers/2", None),
        ("data:flowers/2:/flowers", "data:flowers/2", "/flowers"),
        ("file:///data/x", "file:///data/x", None),
        ("a:b", "a:b", None),
        ("https://host:8080/x", "https://host:8080/x", None),
    ],
)
def test_source_and_mount_point(text: str, source: str, mount: str | None) -> None:
    item = parse_input(text, "/home")
    assert (item.source, item.mount) == (source, mount)
    assert item.text == text.rstrip("/")


def test_what_a_source_means(tmp_path: Path, project: str) -> None:
    run = experiment.launch(lambda lr: lr, {"lr": [1, 2]}, name="digits", **OPTIONS)
    (tmp_path / "here.csv").write_text("1")
    (Path(project) / "shared.csv").write_text("1")
    sources = {
        "here.csv": str(tmp_path / "here.csv"),
        "./here.csv": str(tmp_path / "here.csv"),
        "/no/where": "/no/where",  # said by the verb, as for any URL
        "shared.csv": "shared.csv",  # in the project
        "s3://bucket/x": "s3://bucket/x",
        "data:flowers/2": "data:flowers/2",
        "digits/1": f"runs:/{run.run_id}/trials/0001",
        "digits/1/0/output.log": f"runs:/{run.run_id}/trials/0000/output.log",
        f"{run.run_id}/0001/x": f"runs:/{run.run_id}/trials/0001/x",
    }
    items = {f"n{index}": JobInput(source, None, str(tmp_path)) for index, source in enumerate(sources)}
    assert [item.source for item in locate_inputs(Project(project), items).values()] == list(sources.values())


def test_what_is_not_there_is_said_at_once(tmp_path: Path, project: str) -> None:
    experiment.launch(lambda: 1, name="digits", **OPTIONS)
    items = {
        "a": parse_input("nowhere.csv", str(tmp_path)),
        "b": parse_input("digit/0", str(tmp_path)),
        "c": parse_input("digits/7/model", str(tmp_path)),
        "d e": parse_input("s3://x/y:/data", str(tmp_path)),
        "f": parse_input("s3://x/z:/data", str(tmp_path)),
    }
    with pytest.raises(InvalidArguments) as refused:
        locate_inputs(Project(project), items)
    said = refused.value.problems
    assert said[0] == f"inputs: a: there is no nowhere.csv in {tmp_path}, and none in the project"
    assert "did you mean 'digits'?" in said[1] and "no trial '7'" in said[2]
    assert "'d e' cannot be in a variable's name" in said[3] and "d e and f are both at /data" in said[4]
    with pytest.raises(InvalidArguments, match="cannot be at /"):
        parse_input("a:/", "")


def test_paths_are_those_of_the_command_line_and_of_the_job_file(
    tmp_path: Path, project: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, elsewhere = tmp_path / "job", tmp_path / "elsewhere"
    for place, text in ((folder, "of the file"), (elsewhere, "of the line")):
        place.mkdir()
        (place / "a.csv").write_text(text)
    (folder / "train.py").write_text(READS)
    options = "name: reads\npool: inline\ntracking_uri: 'off'\ndisplay: false\n"
    (folder / "job.yml").write_text(f"command: python train.py\n{options}inputs: {{a: a.csv}}")
    monkeypatch.chdir(elsewhere)
    assert cli.main(["run", str(folder / "job.yml")]) == 0
    assert cli.main(["run", "--input", "a=a.csv", str(folder / "job.yml")]) == 0
    texts = [Path(experiment.load(f"reads/{n}").trials[0].logdir, "output.log").read_text() for n in (1, 2)]
    assert texts == ["of the file\n", "of the line\n"]
    assert cli.main(["run", "--input", "a=b.csv", str(folder / "job.yml")]) == 1
    assert f"there is no b.csv in {elsewhere}" in capfd.readouterr().err
    kept = Path(experiment.load("reads/1").logdir, "command.json").read_text()
    assert str(folder / "a.csv") in kept, "the folder of a job that is reproduced is another"


def test_inputs_that_would_hide_each_other(tmp_path: Path, project: str) -> None:
    items = {
        name: JobInput(str(tmp_path), mount, str(tmp_path))
        for name, mount in (("a", "/data"), ("b", "/data/x"), ("c", "/database"), ("A", None))
    }
    with pytest.raises(InvalidArguments) as error:
        locate_inputs(Project(project), items)
    assert list(error.value.problems) == [
        "inputs: a and A have one variable, $HOPSLITE_INPUT_A",
        "inputs: b is at /data/x, which is in a at /data; give another path",
    ]


def test_a_name_that_is_given_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(READS)
    assert cli.main(["run", "--input", "a=x", "--input", "a=y", "train.py"]) == 2
    assert "a is given twice; give each name once" in capsys.readouterr().err
