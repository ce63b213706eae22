"""Forms of programs, and what is found out before anything starts."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from hopslite import cli, experiment
from hopslite.cli import run as run_module
from hopslite.errors import InvalidArguments
from hopslite.programs.notebook import with_parameters
from hopslite.submission.code_archive import pack
from hopslite.submission.verb_call import VerbCall

RUN = ["run", "--pool", "inline", "--no-display", "--tracking-uri", "off"]
TELLS = 'import sys; open("argv.txt", "w").write(" ".join(sys.argv[1:]))'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "train.py").write_text(TELLS)
    (folder / ".hopsliteignore").write_text("ignored.py\n")
    (folder / "ignored.py").write_text("")
    for name, text in (
        ("plain.sh", "#!/bin/sh\n"),
        ("bash.sh", "#!/usr/bin/env bash\nexit 0\n"),
        ("nowhere.sh", "#!/usr/bin/env nowhere\n"),
        ("windows.sh", "#!/bin/sh\r\nexit 0\r\n"),
        ("bare.sh", "echo 1\n"),
        ("empty.sh", "#!\n"),
    ):
        (folder / name).write_bytes(text.encode())
        (folder / name).chmod(0o644 if name == "plain.sh" else 0o755)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is no program nowhere: no file in"),
        (["./nowhere.sh"], "./nowhere.sh is to be run by nowhere, as its first line says, and there is no such"),
        (["./plain.sh"], "./plain.sh is not executable; run chmod +x ./plain.sh, or write sh ./plain.sh"),
        (["./windows.sh"], "./windows.sh has line ends of Windows"),
        (["./bare.sh"], "./bare.sh is no binary of this system, and has no first line such as #!/bin/sh"),
        (["./empty.sh"], "the first line of ./empty.sh names no interpreter"),
        (["./plian.sh"], "./plian.sh is not there in"),
        (["python", "trian.py"], "there is no program trian.py"),
        (["ignored.py"], "ignored.py is not sent with the code, as .hopsliteignore lists it"),
        (["python train.py && ls"], "&& is of a shell, and a command is started without one; write sh -c"),
        (["python 'train.py"], "no closing quotation"),
        (["nowhere.ipynb"], "there is no program nowhere.ipynb"),
    ],
)
def test_what_cannot_be_started_is_said_before_spark_starts(
    folder: Path, project: str, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert cli.main(["run", "--master", "local-cluster[9,9,9]", *words]) in (1, 2)
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said and said.count("error") <= 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("python tarin.py", "tarin.py is not there in {folder}; did you mean 'train.py'?"),
        ("train.py > log", "> is of a shell"),
        ("plain.sh", "there is no program plain.sh in PATH; for the file in {folder} write ./plain.sh"),
        ("./plain.sh", "./plain.sh is not executable"),
    ],
)
def test_in_a_job_file(
    folder: Path, project: str, capsys: pytest.CaptureFixture[str], command: str, message: str
) -> None:
    (folder / "job.yml").write_text(f"command: {command}")
    assert cli.main(["run", "job.yml"]) == 1
    assert message.format(folder=folder) in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["python train.py --x 1 --y 'a b'"], ["python", "train.py", "--x", "1", "--y", "a b"],
        ["train.py", "--x", "1", "--y", "a b"], ["python train.py --x 1", "--y", "a b"],
    ],
)  # fmt: skip
def test_a_command_line_in_quotes_is_the_same_as_its_words(folder: Path, project: str, words: list[str]) -> None:
    assert cli.main([*RUN, *words]) == 0
    run = experiment.load("train")
    assert run.trials[0].params == {"x": 1, "y": "a b"}
    assert Path(run.trials[0].logdir, "argv.txt").read_text() == "--x 1 --y a b"


@pytest.mark.parametrize("words", [["./bash.sh"], ["sh", "plain.sh"], ["sh -c 'ls && true'"], ["/bin/true"]])
def test_scripts_and_binaries(folder: Path, project: str, words: list[str]) -> None:
    assert cli.main([*RUN, *words]) == 0


def test_a_file_whose_name_looks_like_an_option(folder: Path, project: str) -> None:
    (folder / "-x.py").write_text(TELLS)
    assert cli.main([*RUN, "./-x.py", "--y", "1"]) == 0
    assert Path(experiment.load("-x").trials[0].logdir, "argv.txt").read_text() == "--y 1"


def test_a_program_outside_of_the_code(folder: Path, project: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "lib").mkdir()
    assert cli.main([*RUN, "--code", "lib", "train.py"]) == 1
    said = capsys.readouterr().err
    assert f"../train.py is not in the folder of the code, {folder}/lib" in said and "--code" in said


def test_links_to_folders_are_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".hopsliteignore").write_text("big\n")
    for name in ("big", "common"):
        (folder / name).symlink_to(folder.parent)
    pack(str(folder))
    assert "not sent with the code, as they are links to folders: common; give" in capsys.readouterr().err


def test_a_name_that_is_not_utf8(folder: Path) -> None:
    (Path(os.fsdecode(os.path.join(os.fsencode(folder), b"caf\xe9.txt")))).write_text("")
    with pytest.raises(InvalidArguments) as error:
        pack(str(folder))
    assert f"the name of caf\\xe9.txt in {folder} is not UTF-8; rename the file" in str(error.value)


def test_numbers_that_are_none_in_a_notebook() -> None:
    nbformat = pytest.importorskip("nbformat")
    made = with_parameters(nbformat.v4.new_notebook(), {"a": float("nan"), "b": float("-inf"), "c": 0.5, "d": None})
    values: dict[str, Any] = {}
    exec(made.cells[0].source, values)
    assert str(values["a"]) == "nan" and values["b"] == float("-inf") and (values["c"], values["d"]) == (0.5, None)


def cell(source: str, *tags: str) -> dict[str, Any]:
    return {
        "cell_type": "code", "source": source, "metadata": {"tags": list(tags)}, "outputs": [], "execution_count": None
    }  # fmt: skip


def write_notebook(path: Path, *cells: dict[str, Any], language: str = "python") -> None:
    kernel = {"name": "python3", "display_name": "Python 3", "language": language}
    path.write_text(
        json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {"kernelspec": kernel}, "cells": list(cells)})
    )


DEFAULTS = cell("lr = 0.5\nname: str = 'x'\napi_key = ''", "parameters")


class TestNotebooks:
    @pytest.mark.slow("notebooks")
    def test_it_is_executed_with_the_parameters_and_kept_and_an_error_shows_its_cell(
        self, folder: Path, project: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_notebook(
            folder / "train.ipynb", cell("import json, sys"), DEFAULTS,
            cell("print(json.dumps({'metric': 'loss', 'value': lr * 2, 'step': 0}))"),
            cell("open('left.txt', 'w').write(f'{name} {len(api_key)} {sys.executable}')\n1 / lr"),
        )  # fmt: skip
        words = ["--metric", "loss", "--direction", "min", "train.ipynb", "--lr", "[1e-3, 0]", "--name", "a b"]
        words += ["--api_key", "hunter2"]
        assert cli.main([*RUN, *words]) == 1
        run = experiment.load("train")
        assert (run.best_params, run.best_metric) == ({"lr": 0.001, "name": "a b", "api_key": "(redacted)"}, 0.002)
        trial, failed = run.trials
        assert Path(trial.logdir, "left.txt").read_text() == f"a b 7 {sys.executable}"
        kept = json.loads(Path(trial.logdir, "train.ipynb").read_text())
        assert [item["metadata"]["tags"] for item in kept["cells"][1:3]] == [["parameters"], ["injected-parameters"]]
        assert "".join(kept["cells"][2]["source"]) == "# Parameters\nlr = 0.001\nname = 'a b'\napi_key = '(redacted)'"
        assert kept["cells"][-1]["outputs"][0]["data"]["text/plain"] == ["1000.0"]
        assert Path(folder, "train.ipynb").read_text().count("injected") == 0

        said = "train.ipynb, cell 5: ZeroDivisionError: division by zero"
        assert f"train.ipynb ended with exit status 1: {said}" in str(failed.error)
        log = Path(failed.logdir, "output.log").read_text()
        assert '{"metric": "loss"' in log and "1 / lr" in log and "\x1b" not in log
        kept = json.loads(Path(failed.logdir, "train.ipynb").read_text())
        assert kept["cells"][-1]["outputs"][-1]["ename"] == "ZeroDivisionError"

    @pytest.mark.parametrize(
        ("cells", "language", "words", "message"),
        [
            ([DEFAULTS], "python", ["--lrr", "1"], "the tag parameters assigns no lrr; did you mean 'lr'?"),
            ([cell("1")], "R", ["--lr", "1"], "is in R, and parameters are put into notebooks in Python"),
            (None, "", [], "is no notebook: a JSON document with cells"),
        ],
    )
    def test_what_cannot_be(
        self, folder: Path, project: str, capsys: pytest.CaptureFixture[str], cells: Any, language: str,
        words: list[str], message: str,
    ) -> None:  # fmt: skip
        if cells is None:
            (folder / "train.ipynb").write_text("[1]")
        else:
            write_notebook(folder / "train.ipynb", *cells, language=language)
        assert cli.main(["run", "train.ipynb", *words]) == 1
        assert message in capsys.readouterr().err

    def test_in_a_job_file(self, folder: Path, monkeypatch: pytest.MonkeyPatch, project: str) -> None:
        write_notebook(folder / "train.ipynb", DEFAULTS)
        (folder / "job.yml").write_text("command: python train.ipynb\nparams: {lr: [1, 2]}")
        calls: list[VerbCall] = []
        monkeypatch.setattr(run_module, "_start", lambda call: calls.append(call) or 0)
        assert cli.main(["run", "job.yml"]) == 0
        line = calls[0].arguments[0]._line({"lr": 1})
        assert line[:4] == [sys.executable, "-m", "hopslite.programs.notebook", "train.ipynb"]
