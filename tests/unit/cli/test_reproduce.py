"""`hopslite reproduce`: the command, the files and the packages of a run of a program."""

from __future__ import annotations

import itertools
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from hopslite import cli, experiment
from hopslite.cli import run as run_module
from hopslite.submission import verb_call
from hopslite.submission.recorded_command import record_call, shell_command
from hopslite.submission.verb_call import VerbCall
from tests.helpers.commands import OPTIONS, RECORDS_CALL


def test_a_call_with_several_metrics_is_recorded_as_it_was_typed(code: Path) -> None:
    job = {"code": str(code), "has_code": False, "secret": []}
    options = {"metric": ["f1", "seconds"], "direction": ["max", "min"], "name": "n"}
    record = record_call("train.py", ["--n", "[1]"], options, job, None)
    assert shell_command(record, "train.py") == (
        "hopslite run --metric f1 --metric seconds --direction max --direction min --name n train.py --n '[1]'"
    )


class TestReproduce:
    @pytest.fixture
    def here(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], list[list[str]]]]:
        """Has `hopslite run` run in this process; what it was to do, and the lines of its programs."""
        done = []

        def start(call: VerbCall) -> int:
            command, lists, *direction = call.arguments
            if call.verb == "grid_search":
                combinations = list(itertools.product(*lists.values()))
                lists = {name: [each[index] for each in combinations] for index, name in enumerate(lists)}
            run = experiment.launch(command, lists, name=call.keywords["name"], **OPTIONS)
            argv = [json.loads(Path(trial.logdir, "output", "call.json").read_text())["argv"] for trial in run.trials]
            keywords = {**call.keywords}
            if "spark" in keywords:
                keywords["spark"] = keywords["spark"]()  # the session begins when the run's turn has come
            done.append(({"inputs": None, **keywords, "verb": call.verb, "direction": direction}, argv))
            return 0

        monkeypatch.setattr(run_module, "_start", start)
        monkeypatch.setattr(verb_call, "open_session", lambda *, master: master)
        return done

    def reproduced(self, capfd: pytest.CaptureFixture[str], folder: Path, name: str) -> tuple[list[str], str]:
        """The words of the command that `hopslite reproduce` tells, and all that it says."""
        capfd.readouterr()
        assert cli.main(["reproduce", name, "--no-install", "-o", str(folder)]) == 0
        said = capfd.readouterr().out
        return shlex.split(said.splitlines()[-2]), said

    def test_a_command_line(
        self, here: Any, code: Path, project: str, capfd: pytest.CaptureFixture[str], tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        (code / "deep").mkdir()
        (code / "deep" / "train.py").write_text(RECORDS_CALL + """print('{"metric": "loss", "value": 1}')""")
        (code / "my.env").write_text("TOKEN=s3cret-token")
        (code / "requirements.txt").write_text("mine\n")
        monkeypatch.chdir(code)
        options = [
            "--name", "a b", "--message", "it's", "--metric", "loss", "--direction", "min", "--gpu", "0.25",
            "--on-failure", "restart", "--max-restarts", "2",
            "--parallelism", "2", "--target-metric", "0.0", "--no-improvement", "9",
            "--timeout", "3600.0", "--trial-timeout", "60.0", "--master", "local[2]",
            "--input", "data=s3://key:s3cret-token@bucket/x",
        ]  # fmt: skip
        words = ["deep/train.py", "fit", "--lr", "[1e-3, 1.10]", "--fast", "--n-n", "64", "32", "--", "{lr}"]
        assert cli.main(["run", *options, "--env", "my.env", "--code", ".", *words]) == 0
        again, said = self.reproduced(capfd, tmp_path / "made", "a b")
        options[-1] = "data=s3://bucket/x"
        assert again == ["hopslite", "run", *options, "--env", str(code / "my.env"), "--code", ".", *words]
        assert f"--env takes those that are in {code / 'my.env'} now" in said
        assert "the packages of the run are in requirements.hopslite.txt; requirements.txt is the program's own" in said
        assert "pip install -r requirements.hopslite.txt" in said
        assert (tmp_path / "made" / "requirements.txt").read_text() == "mine\n"
        assert "pytest==" in (tmp_path / "made" / "requirements.hopslite.txt").read_text()
        monkeypatch.chdir(tmp_path / "made")
        assert cli.main(again[1:]) == 0
        (first, lines), (second, once_more) = here
        assert first.pop("inputs") == {"data": "s3://key:s3cret-token@bucket/x"}
        assert second.pop("inputs") == {"data": "s3://bucket/x"}
        assert first == second
        assert lines == once_more == [["fit", "--lr", lr, *words[4:]] for lr in ("1e-3", "1.10")]
        for path in Path(project).rglob("*"):
            assert not path.is_file() or b"s3cret-token" not in path.read_bytes(), path
        (code / "my.env").unlink()
        assert f"{code / 'my.env'} is no more" in self.reproduced(capfd, tmp_path / "third", "a b")[1]

    @pytest.mark.parametrize(
        ("name", "changes", "kept"),
        [("job.yml", "", True), ("job.yml", "env: {A: s3cret-token}", False), ("deep/job.yml", "code: ..", True),
         ("deep/job.yml", "code: ..\nenv: {A: s3cret-token}", False), ("../job.yml", "code: code", False)],
    )  # fmt: skip
    def test_a_job_file(
        self, here: Any, code: Path, project: str, capfd: pytest.CaptureFixture[str], tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, name: str, changes: str, kept: bool,
    ) -> None:  # fmt: skip
        (code / "deep").mkdir()
        (code / "train.py").write_text(RECORDS_CALL)
        inputs = "" if kept else "inputs: {data: 's3://key:s3cret-token@bucket/x'}\n"
        (code / name).write_text(
            "command: python train.py --at={lr}\nmessage: größe\nname: job\n"
            "params: {lr: [1.10, 1.0e-3], batch-size: 8}\n"
            f"{inputs}{changes} # s3cret-token"
        )
        monkeypatch.chdir(tmp_path)
        assert cli.main(["run", "--gpu", "0", str(code / name), "fit", "--epochs", "5"]) == 0
        again, said = self.reproduced(capfd, tmp_path / "made", "job")
        made = name.removeprefix("../")
        place = ["--code", "."] if "code" in changes else []
        assert again == ["hopslite", "run", "--gpu", "0", *place, made, "fit", "--epochs", "5"]
        assert ("s3cret-token" in (tmp_path / "made" / made).read_text()) == kept
        assert ("the job file's env are in no record" in said) == ("env" in changes)
        assert "note" not in said or "env" in changes
        monkeypatch.chdir(tmp_path / "made")
        assert cli.main(again[1:]) == 0
        assert [each[0].pop("inputs") for each in here][1] == (None if kept else {"data": "s3://bucket/x"})
        assert here[0] == here[1]
        assert here[0][1] == [["--at=" + lr, "fit", "--batch-size", "8", "--epochs", "5"] for lr in ("1.10", "1.0e-3")]

    def test_no_file_of_the_users_is_written_over(self, tmp_path: Path) -> None:
        from hopslite.cli.reproduce import _write_packages

        found = [_write_packages(str(tmp_path), [package]) for package in ("a", "b", "b", "c", "a")]
        pins = [f"requirements{each}.txt" for each in ("", ".hopslite", ".hopslite", ".hopslite-2", "")]
        assert found == pins
