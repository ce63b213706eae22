"""The command `hopslite`: what people see, what programs get, and what a mistake says."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hopslite
from hopslite import cli, experiment
from hopslite.cli import _output, ls
from hopslite.cli import logs as _logs
from hopslite.cli._cluster_checks import spark_gpus
from hopslite.cli._options import parse_moment
from hopslite.cli.doctor import _version as version_of_package
from hopslite.driver.input_lookup import find_inputs
from hopslite.errors import RunInterrupted
from hopslite.storage.annotations import Notes
from hopslite.storage.driver_lease import claim
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from hopslite.storage.snapshot import zipped
from tests.helpers.observe import PATIENCE_S

OPTIONS: dict[str, Any] = {"pool": "inline", "display": False}
Answer = Callable[..., tuple[int, str, str]]


def train(lr: float, kind: str) -> dict[str, float]:
    print(f"training with {lr}")
    for step in range(3):
        hopslite.report(lr * step, step)
    if lr > 0.5:
        raise ValueError("too large")
    return {"accuracy": 1 - lr}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with three runs, made once."""
    folder = tmp_path_factory.mktemp("template") / "project"
    options = {**OPTIONS, "project": str(folder), "optimization_key": "accuracy"}
    grid = {"lr": [0.75, 0.25, 0.5], "kind": ["a"]}
    experiment.grid_search(train, grid, name="digits", description="first", tags={"team": "a"}, **options)
    experiment.grid_search(train, {"lr": [0.125], "kind": ["b"]}, name="digits", **options)
    experiment.launch(lambda: 3, name="single", project=str(folder), **OPTIONS)
    return folder


@pytest.fixture
def home(template: Path, project: str) -> Project:
    shutil.copytree(template, project)
    return Project(project)


@pytest.fixture
def answer(capfd: pytest.CaptureFixture[str]) -> Answer:
    """Calls a command; what it returns and writes."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(list(arguments))
        told = capfd.readouterr()
        return code, told.out, told.err

    return call


def told(answer: Answer, *arguments: str) -> Any:
    code, out, err = answer(*arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def ids(home: Project) -> list[str]:
    return home.runs()


class TestList:
    def test_the_newest_first(self, home: Project, answer: Answer) -> None:
        code, out, err = answer("ls")
        assert (code, err) == (0, "")
        head, *rows = out.splitlines()
        assert head.split() == ["name", "version", "state", "trials", "best", "metric", "duration", "started", "id"]
        assert [row.split()[:2] for row in rows] == [["single", "1"], ["digits", "2"], ["digits", "1"]]
        assert "3 (1 failed)" in rows[2]
        assert "0.75 accuracy" in " ".join(rows[2].split())
        assert rows[2].endswith(ids(home)[0])
        assert not any(line != line.rstrip() for line in out.splitlines())

    def test_for_programs(self, home: Project, answer: Answer) -> None:
        found = told(answer, "ls", "digits")
        assert [(run["name"], run["version"], run["metric"]) for run in found] == [
            ("digits", 2, 0.875),
            ("digits", 1, 0.75),
        ]
        assert found[1]["tags"] == {"team": "a"}
        assert found[1]["counts"] == {"FINISHED": 2, "FAILED": 1}
        assert found[1]["logdir"] == f"{home.url}/Experiments/{ids(home)[0]}"

    @pytest.mark.parametrize(
        ("options", "versions"),
        [
            (["dig*"], [2, 1]),
            (["single"], [1]),
            (["noth*"], []),
            (["--state", "finished"], [1, 2, 1]),
            (["--state", "success", "--state", "failed", "digits"], [2, 1]),
            (["--state", "running"], []),
            (["--tag", "team"], [1]),
            (["--tag", "team=a"], [1]),
            (["--tag", "team=b"], []),
            (["--sort", "metric"], [1, 2, 1]),
            (["digits", "--sort", "metric", "-r"], [1, 2]),
            (["digits", "--sort", "trials"], [1, 2]),
            (["-n", "1"], [1]),
            (["--since", "1h"], [1, 2, 1]),
            (["--until", "1h"], []),
            (["--since", "2000-01-01", "--until", "2999-01-01 12:00"], [1, 2, 1]),
        ],
    )
    def test_filters(self, home: Project, answer: Answer, options: list[str], versions: list[int]) -> None:
        assert [run["version"] for run in told(answer, "ls", *options)] == versions

    def test_days(self) -> None:
        today, yesterday = (parse_moment(each) for each in ("today", "yesterday"))
        assert time.localtime(today)[3:6] == time.localtime(yesterday)[3:6] == (0, 0, 0)
        assert time.localtime(yesterday)[:3] == time.localtime(today - 3600)[:3]

    def test_an_empty_project_and_a_filter_without_a_match(self, project: str, answer: Answer) -> None:
        assert answer("ls") == (0, "", f"{project}: it has no runs yet\n")
        experiment.launch(lambda: 1, **OPTIONS)
        assert answer("ls", "x*") == (0, "", f"{project}: no run in it fits\n")

    def test_a_name_that_no_run_has(self, home: Project, answer: Answer) -> None:
        for options in ([], ["--json"], ["digits"], ["--since", "1h"]):
            code, out, err = answer("ls", "digist", *options)
            assert (code, out) == (3, "") and "is named 'digist'; did you mean 'digits'?" in err

    def test_more_than_are_shown_at_first(self, home: Project, answer: Answer) -> None:
        [run_id, *_] = ids(home)
        for number in range(40):
            shutil.copytree(f"{home.url}/Experiments/{run_id}", f"{home.url}/Experiments/{run_id}{number}")
        _, out, _ = answer("ls")
        assert len(out.splitlines()) == 1 + 30 + 1
        assert out.splitlines()[-1] == "and 13 more; -a shows all"
        assert len(answer("ls", "-a")[1].splitlines()) == 1 + 43

    def test_runs_that_are_damaged_or_going_on(self, home: Project, answer: Answer) -> None:
        first, second, third = (home.sub("Experiments", run_id) for run_id in ids(home))
        first.write_bytes("run.json", b"{")
        for run in (second, third):
            run.write_json("run.json", {**run.read_json("run.json"), "state": "RUNNING", "duration": None})
        session = claim(third)
        try:
            states = {run["run_id"]: run["state"] for run in told(answer, "ls")}
        finally:
            session.release()
        assert list(states.values()) == ["RUNNING", "KILLED", "DAMAGED"]
        assert answer("ls")[0] == 0

    @pytest.mark.parametrize("columns", [40, 60, 80, 200])
    def test_it_is_no_wider_than_a_terminal(
        self, home: Project, answer: Answer, columns: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_output, "width", lambda: columns)
        for command in (["ls"], ["show", "digits/1"]):
            _, out, _ = answer(*command)
            table = out.splitlines() if command == ["ls"] else out.split("\n\n")[1].splitlines()
            assert max(map(len, table)) <= columns
            assert "digits" in out
            assert "0.75" in out


class TestShow:
    def test_a_run(self, home: Project, answer: Answer) -> None:
        code, out, _ = answer("show", "digits/1")
        assert code == 0
        for text in (
            "digits version 1: grid_search, FINISHED",
            "2 finished, 1 failed",
            "accuracy = 0.75 (trial 0001; the largest counts)",
            "lr=0.25, kind='a'",
            "first",
            "team=a",
            "until the first trial began",
            "at a time on average",
            f"{home.url}/Experiments/{ids(home)[0]}",
        ):
            assert text in out, text
        rows = out.split("\n\n")[1].splitlines()
        assert rows[0].split() == ["trial", "lr", "kind", "metric", "state", "duration"]
        assert [row.split()[0] for row in rows[1:]] == ["*", "0002", "0000"]
        assert rows[1].split()[1:5] == ["0001", "0.25", "a", "0.75"]
        assert out.split("\n\n")[2] == "0000: ValueError: too large\n"

    def test_for_programs(self, home: Project, answer: Answer) -> None:
        found = told(answer, "show", "digits/1")
        assert (found["best_trial"], found["best_params"]) == ("0001", {"lr": 0.25, "kind": "a"})
        assert [trial["state"] for trial in found["trials"]] == ["FAILED", "FINISHED", "FINISHED"]
        assert found["time"]["in_trials"] == pytest.approx(
            sum(trial["duration"] for trial in found["trials"]), abs=1e-5
        )

    def test_a_trial(self, home: Project, answer: Answer) -> None:
        _, out, _ = answer("show", "digits/1", "0")
        assert "digits version 1, trial 0000: FAILED" in out
        assert 'raise ValueError("too large")' in out
        assert told(answer, "show", "digits/1", "best")["outputs"]["accuracy"] == 0.75
        assert "output.log" in told(answer, "show", "digits", "0")["files"]

    def test_comma_separated_values(self, home: Project, answer: Answer, tmp_path: Path) -> None:
        code, out, err = answer("show", "digits/1", "--csv")
        assert (code, err) == (0, "")
        experiment.load("digits/1", project=home.url).to_csv(tmp_path / "trials.csv")
        assert out == (tmp_path / "trials.csv").read_text()
        assert out.splitlines()[1].startswith("0000,FAILED,,0.75,a,")
        for more in (["0"], ["--json"]):
            code, out, err = answer("show", "digits/1", "--csv", *more)
            assert (code, out) == (2, "")
            assert "--csv writes all trials of a run" in err

    def test_what_is_not_there(self, home: Project, answer: Answer) -> None:
        code, out, err = answer("show", "digit")
        assert (code, out) == (3, "")
        assert err == f"error: there is no run 'digit' in {home.url}; did you mean 'digits'?\n"
        code, _, err = answer("show", "digits", "7")
        assert (code, "its trials: 0000 to 0000" in err) == (3, True)

    def test_a_newer_version_made_it(self, home: Project, answer: Answer) -> None:
        run = home.sub("Experiments", ids(home)[0])
        run.write_json("run.json", {**run.read_json("run.json"), "hopslite": "99.0"})
        code, out, err = answer("show", "digits/1")
        assert (code, out) == (1, "")
        assert "was made by hopslite 99.0" in err


class TestCompare:
    def test_side_by_side(self, home: Project, answer: Answer) -> None:
        code, out, _ = answer("compare", "digits/1", "digits/2")
        assert code == 0
        assert out.splitlines()[0].split() == ["fact", "digits/1", "digits/2"]
        rows = {line[3:].split("  ")[0]: line for line in out.splitlines()[1:]}
        assert rows["accuracy"].split() == ["≠", "accuracy", "0.75", "0.875"]
        assert rows["name"].startswith(" ")
        assert rows["best kind"].split()[-2:] == ["a", "b"]
        _, different, _ = answer("compare", "digits/1", "digits/2", "-d")
        assert all(line.startswith(("≠", " ")) for line in different.splitlines())
        assert len(different.splitlines()) < len(out.splitlines())
        first, second = told(answer, "compare", "digits/1", "digits/2")
        assert (first["accuracy"], second["trials"]) == (0.75, 1)

    def test_the_same_twice(self, home: Project, answer: Answer) -> None:
        _, out, _ = answer("compare", "digits", "digits")
        assert "≠" not in out

    def test_one_is_too_few(self, home: Project, answer: Answer) -> None:
        code, _, err = answer("compare", "digits")
        assert (code, "give at least two runs" in err) == (2, True)


class TestBest:
    def test_of_all_runs_of_a_name(self, home: Project, answer: Answer) -> None:
        code, out, _ = answer("best", "digits")
        assert code == 0
        assert out.startswith("digits version 2, trial 0000: accuracy = 0.875")
        assert told(answer, "best", "digits", "--direction", "min")["value"] == 0.5

    def test_what_is_no_name(self, home: Project, answer: Answer) -> None:
        assert answer("best", "digit")[::2] == (
            3,
            f"error: there is no run 'digit' in {home.url}; did you mean 'digits'?\n",
        )
        code, _, err = answer("best", ids(home)[0])
        assert (code, "is a run, not a name of runs" in err) == (3, True)
        code, _, err = answer("best", "digits", "--metric", "acuracy")
        assert (code, "did you mean 'accuracy'?" in err) == (1, True)


class TestLogs:
    def test_nothing_is_lost_between_what_there_is_and_what_follows(
        self, home: Project, answer: Answer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = Path(home.url, "Experiments", ids(home)[0], "trials/0001/output.log")
        write = _logs._write

        def write_slowly(*arguments: Any) -> None:
            write(*arguments)
            with log.open("a") as file:
                file.write("meanwhile\n")
            monkeypatch.setattr(_logs, "_write", write)

        monkeypatch.setattr(_logs, "_write", write_slowly)
        before = log.read_text()
        assert answer("logs", "digits/1", "-f")[1] == f"{before}meanwhile\n"

    def test_of_a_trial(self, home: Project, answer: Answer) -> None:
        assert answer("logs", "digits/1", "2") == (0, "training with 0.5\n", "")
        assert answer("logs", "digits/1") == (0, "training with 0.25\n", "")
        assert "too large" in answer("logs", "digits/1", "0")[1]

    @pytest.mark.parametrize("lines", [0, 1, 2, 1000, 5000])
    def test_the_last_lines_of_a_huge_one(
        self, home: Project, answer: Answer, lines: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_logs, "PIECE", 1000)
        written = [f"line {number}\n" for number in range(3000)]
        Path(home.url, "Experiments", ids(home)[0], "trials/0001/output.log").write_text("".join(written))
        assert answer("logs", "digits/1", "-n", str(lines))[1] == "".join(written[-lines:] if lines else [])

    def test_without_an_end_of_line_and_with_bytes_that_are_no_text(self, home: Project, answer: Answer) -> None:
        log = Path(home.url, "Experiments", ids(home)[0], "trials/0001/output.log")
        log.write_bytes(b"a\nb\n\nlast")
        assert answer("logs", "digits/1", "-n", "2")[1] == "\nlast"
        log.write_bytes(b"\xff\xfe\n")
        assert answer("logs", "digits/1")[0] == 0

    def test_of_one_that_wrote_nothing(self, home: Project, answer: Answer) -> None:
        Path(home.url, "Experiments", ids(home)[0], "trials/0001/output.log").unlink()
        code, out, err = answer("logs", "digits/1")
        assert (code, out, err) == (0, "", "trial 0001 is FINISHED and has printed nothing\n")

    def test_following_one_that_has_ended_ends(self, home: Project, answer: Answer) -> None:
        assert answer("logs", "digits/1", "2", "-f") == (0, "training with 0.5\n", "")

    def test_a_member_that_is_not_there(self, home: Project, answer: Answer) -> None:
        code, _, err = answer("logs", "digits/1", "2", "--member", "worker_0")
        assert (code, "it has output.log" in err) == (3, True)


class TestChange:
    def test_tags(self, home: Project, answer: Answer) -> None:
        assert answer("tag", "digits/1", "owner=me", "good", "x=a=b")[1] == "good=\nowner=me\nteam=a\nx=a=b\n"
        assert answer("tag", "digits/1", "-d", "good", "-d", "x")[1] == "owner=me\nteam=a\n"
        assert answer("tag", "digits/1", "team=b")[1] == "owner=me\nteam=b\n"
        assert [run["version"] for run in told(answer, "ls", "--tag", "owner=me")] == [1]
        assert experiment.load("digits/1").tags == {"owner": "me", "team": "b"}

    def test_of_two_at_once_neither_is_lost(
        self, home: Project, answer: Answer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = RunDir(experiment.load("digits/1").logdir)
        as_it_is, told = Notes.read, []

        def read(directory: RunDir) -> Notes:
            with open(run.path(".notes.lock"), "ab") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    told.append("another one would wait")
            return as_it_is(directory)

        monkeypatch.setattr(Notes, "read", read)
        for command in (["tag", "digits/1", "a=1"], ["note", "digits/1", "text"]):
            assert answer(*command)[0] == 0
            assert told.pop() == "another one would wait" and not told
        assert as_it_is(run) == Notes({"a": "1"}, "text")
        answer("tag", "digits/1")  # looking does not need it
        assert not told

    def test_tags_that_cannot_be(self, home: Project, answer: Answer) -> None:
        for arguments, message in (
            (["=x"], "a tag without a name"),
            (["-d", "nope"], "no tag 'nope'; tags: team"),
            (["-d", "team"], "belongs to the run's call"),
        ):
            code, _, err = answer("tag", "digits/1", *arguments)
            assert (code, message in err) == (2, True), err
        assert not RunDir(f"{home.url}/Experiments/{ids(home)[0]}").exists("notes.json")

    def test_notes(self, home: Project, answer: Answer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        assert answer("note", "digits/1")[1] == "first\n"
        answer("note", "digits/1", "the best\nso far: é")
        assert answer("note", "digits/1")[1] == "the best\nso far: é\n"
        answer("note", "digits/1", "")
        assert answer("note", "digits/1")[1] == "first\n"

    def test_a_run_is_deleted(self, home: Project, answer: Answer) -> None:
        code, out, _ = answer("rm", "digits/1", "single", "-y")
        assert code == 0
        assert out.splitlines()[0].startswith("deleted digits version 1 (")
        assert [run["version"] for run in told(answer, "ls")] == [2]
        assert os.listdir(f"{home.url}/Experiments") == [".versions", *ids(home)] or len(ids(home)) == 1
        assert answer("show", "digits/1")[0] == 3

    @pytest.mark.parametrize("said", ["n\n", "\n", ""])
    def test_not_without_being_asked(self, home: Project, answer: Answer, said: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "hopslite.cli", "rm", "digits/1"],
            input=said, capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=home.url,
        )  # fmt: skip
        assert done.returncode == 1
        assert "digits version 1" in done.stderr
        assert done.stderr.splitlines()[-1].endswith("nothing deleted")
        assert len(ids(home)) == 3

    def test_not_while_it_goes_on(self, home: Project, answer: Answer) -> None:
        run = home.sub("Experiments", ids(home)[0])
        run.write_json("run.json", {**run.read_json("run.json"), "state": "RUNNING"})
        session = claim(run)
        try:
            code, _, err = answer("rm", "digits/1", "single", "-y")
        finally:
            session.release()
        assert (code, "is being worked on by this process" in err) == (1, True)
        assert len(ids(home)) == 3, "one of them was deleted all the same"

    def test_one_whose_driver_was_on_a_machine_that_is_gone(self, home: Project, answer: Answer) -> None:
        run = home.sub("Experiments", ids(home)[0])
        run.write_json("run.json", {**run.read_json("run.json"), "state": "RUNNING"})
        of_another = {"host": "gone", "boot": "b", "namespace": "n", "pid": 7, "period": 0.2, "ended": False}
        run.write_json("sessions/0002.json", of_another)
        code, out, err = answer("rm", "digits/1", "-y")
        assert (code, out.startswith("deleted digits version 1")) == (0, True)
        assert "process 7 on host gone was the last to work on run" in err

    def test_the_newest_one_that_is_left_is_meant_by_a_name(self, home: Project, answer: Answer) -> None:
        answer("rm", "digits", "-y")
        assert told(answer, "show", "digits")["version"] == 1
        assert told(answer, "best", "digits")["version"] == 1
        assert find_inputs(home, {"x": "runs:/digits/latest/run.json"})[0].url.endswith(f"{ids(home)[0]}/run.json")
        answer("rm", "digits", "-y")
        code, _, err = answer("show", "digits")
        assert (code, "the directory of version 2 of run 'digits' is gone" in err) == (3, True)


class TestArchive:
    def test_to_another_project_and_back(
        self, home: Project, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        code, out, _ = answer("export", "digits/1")
        assert (code, out) == (0, f"{tmp_path}/digits-1.tar.gz\n")
        other = tmp_path / "another one"
        code, out, err = answer("import", "digits-1.tar.gz", "--project", str(other))
        assert code == 0
        assert out.startswith(f"digits version 1: {other}/Experiments/")
        theirs, ours = experiment.load("digits", project=str(other)), experiment.load("digits/1")
        assert theirs.best_params == ours.best_params
        assert theirs.project == str(other)
        told = f"{theirs.run_id} --project '{other}'\n"  # as it is to be typed
        assert err == f"MLflow hears of it with: hopslite track {told}"
        assert f"hopslite tensorboard {told}" in answer("show", "digits", "--project", str(other))[1]
        assert theirs.reports().equals(ours.reports())
        assert answer("logs", "digits", "2", "--project", str(other))[1] == "training with 0.5\n"
        code, _, err = answer("import", "digits-1.tar.gz")
        assert (code, "is in" in err) == (1, True)
        answer("rm", "digits/1", "-y")
        _, out, err = answer("import", "digits-1.tar.gz")
        assert err.endswith(f"hopslite track {ours.run_id}\n")
        assert out.startswith("digits version 3 (it was version 1)"), "a number was given twice"

    def test_what_is_in_it(self, home: Project, answer: Answer, tmp_path: Path) -> None:
        for options, is_there in (([], False), (["--with-plan"], True)):
            answer("export", "digits/1", "-o", str(tmp_path / "x.tar.gz"), "--force", *options)
            with tarfile.open(tmp_path / "x.tar.gz") as archive:
                names = archive.getnames()
                assert {member.uname for member in archive.getmembers()} == {""}
            assert any(name.endswith("plan.pkl") for name in names) is is_there
            assert not any("sessions" in name for name in names)
        assert answer("export", "digits/1", "-o", str(tmp_path / "x.tar.gz"))[0] == 1

    @pytest.mark.parametrize("kind", ["no archive", "rubbish", "escapes", "no run", "two", "bad record"])
    def test_what_is_no_run(self, home: Project, answer: Answer, tmp_path: Path, kind: str) -> None:
        path = tmp_path / ("x.txt" if kind == "no archive" else "x.tar.gz")
        path.write_bytes(b"rubbish")
        (tmp_path / "f").write_text("[" if kind == "bad record" else '{"name": "a"}')
        members = {"escapes": ["../run.json"], "no run": ["a/f"], "two": ["a/run.json", "b/run.json"]}
        if kind not in ("no archive", "rubbish"):
            with tarfile.open(path, "w:gz") as archive:
                for name in members.get(kind, ["a/run.json"]):
                    archive.add(tmp_path / "f", name)
        before = sorted(Path(home.url).rglob("*"))
        code, out, err = answer("import", str(path))
        assert (code, out) == (1, "")
        assert err.startswith(f"error: {path}")
        assert sorted(Path(home.url).rglob("*")) == before


SCRIPT = """
import helper
from hopslite import experiment

if __name__ == "__main__":
    run = experiment.grid_search(helper.train, {"n": [1, 2]}, name="script", pool="inline", display=False)
    print("best", run.best_metric)
"""


class TestReproduce:
    @pytest.fixture
    def script(self, project: str, tmp_path: Path) -> Path:
        """A program that has run, with a module from its folder, and has changed since."""
        folder = tmp_path / "mine"
        (folder / "deep").mkdir(parents=True)
        (folder / "main.py").write_text(SCRIPT)
        (folder / "helper.py").write_text("import deep.er\ndef train(n):\n    return n * deep.er.TWO\n")
        (folder / "deep" / "er.py").write_text("TWO = 2\n")
        (folder / "unused.py").write_text("")
        subprocess.run(
            [sys.executable, folder / "main.py"], check=True, capture_output=True, timeout=PATIENCE_S, cwd=tmp_path
        )
        (folder / "deep" / "er.py").write_text("TWO = 3\n")
        return folder

    def test_a_script_with_what_it_imports(
        self, script: Path, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        RunDir(experiment.load("script").logdir).write_bytes(
            "environment.txt", b"# Python 3.9.1 on Linux\nnumpy==1.2\n"
        )
        code, out, _ = answer("reproduce", "script", "--no-install")
        assert (code, out.splitlines()[0]) == (0, f"{tmp_path}/script-1")
        assert "python main.py" in out
        made = tmp_path / "script-1"
        assert sorted(str(path.relative_to(made)) for path in made.rglob("*.*") if path.is_file()) == [
            "deep/er.py",
            "helper.py",
            "main.py",
            "requirements.txt",
        ]
        done = subprocess.run(
            [sys.executable, "main.py"], cwd=made, capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
        assert done.stdout == "best 4.0\n"
        assert (made / "requirements.txt").read_text() == "numpy==1.2\n"
        assert "# Python 3.9" in out
        assert answer("reproduce", "script/1", "--no-install")[0] == 1  # it is there already

    @pytest.mark.parametrize(
        ("kept", "command"),
        [
            ({"program.ipynb": b"{}"}, "jupyter nbconvert --to notebook --execute program.ipynb"),
            ({"program.ipynb": b"{}", "program.py": b"1"}, "python program.py"),
            ({"program.py": b"get_ipython().system('ls')"}, "ipython program.py"),
        ],
    )
    def test_a_notebook(
        self, home: Project, answer: Answer, tmp_path: Path, kept: dict[str, bytes], command: str
    ) -> None:
        run = home.sub("Experiments", home.runs()[-1])
        run.remove(["program.py", "code.zip"])
        neighbour = tmp_path / "helper.py"
        neighbour.write_text("HELP = 1")
        archive = {"code.zip": zipped({"book.ipynb": str(neighbour), "helper.py": str(neighbour)})}
        for name, content in {**kept, **archive}.items() if "program.ipynb" in kept else kept.items():
            run.write_bytes(name, content)
        code, out, _ = answer("reproduce", home.runs()[-1], "--no-install", "-o", str(tmp_path / "made"))
        assert (code, out.splitlines()[-2].strip()) == (0, command)
        assert {name: (tmp_path / "made" / name).read_bytes() for name in kept} == kept
        assert (tmp_path / "made" / "helper.py").exists() == ("program.ipynb" in kept)

    def test_a_python_that_is_below_the_scripts_folder_is_not_kept(self, tmp_path: Path) -> None:
        from hopslite.storage.snapshot import _imported

        assert list(_imported(Path(sys.base_prefix).resolve() / "train.py")) == ["train.py"]

    @pytest.mark.slow("environments of their own")
    def test_with_its_environment(
        self, script: Path, project: str, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        run = experiment.load("script")
        version = ".".join(map(str, sys.version_info[:2]))
        environment = RunDir(run.logdir)
        environment.write_bytes("environment.txt", f"# Python {version}.1 on Linux\n".encode())
        code, out, _ = answer("reproduce", "script", "-o", "made")
        assert code == 0
        assert (tmp_path / "made" / ".venv" / "bin" / "python").exists()
        assert "made/.venv/bin/activate" in out
        environment.write_bytes("environment.txt", f"# Python {version}.1 on Linux\nno such package==1\n".encode())
        code, _, err = answer("reproduce", "script", "-o", "other")
        assert (code, "installing its packages has failed" in err) == (1, True)
        environment.write_bytes("environment.txt", b"# Python 2.3.1 on Linux\n")
        code, _, err = answer("reproduce", "script", "-o", "other")
        assert (code, "the run had Python 2.3" in err) == (1, True)
        assert not (tmp_path / "other").exists()

    def test_a_run_without_a_program(self, script: Path, answer: Answer, tmp_path: Path) -> None:
        run = RunDir(experiment.load("script").logdir)
        run.remove(["program.py", "code.zip"])
        code, _, err = answer("reproduce", "script", "-o", str(tmp_path / "x"), "--no-install")
        assert (code, "has no program" in err) == (1, True)


class TestUse:
    def test_a_command_that_is_not(self, answer: Answer) -> None:
        code, _, err = answer("sho")
        assert (code, "did you mean 'show'?" in err) == (2, True)
        code, _, err = answer("frobnicate")
        assert (code, "commands: run, train, new, ls, show" in err) == (2, True)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["ls", "--state", "happy"], "HAPPY; there are QUEUED, PENDING"),
            (["ls", "--since", "tomorrowish"], "'tomorrowish' is not a date"),
            (["ls", "--sort", "colour"], "colour"),
            (["ls", "-n", "0"], "0"),
            (["show"], "RUN"),
            (["logs", "digits", "--nope"], "--nope"),
            (["tensorboard", "digits", "--port", "0"], "0"),
        ],
    )
    def test_wrong_use(self, home: Project, answer: Answer, arguments: list[str], message: str) -> None:
        code, out, err = answer(*arguments)
        assert (code, out) == (2, "")
        assert message in err

    def test_a_project_that_cannot_be(self, answer: Answer) -> None:
        code, _, err = answer("ls", "--project", "nope://x")
        assert (code, "Traceback" in err, "nope" in err) == (1, False, True)

    def test_the_project_before_and_after_the_command(self, home: Project, answer: Answer, tmp_path: Path) -> None:
        elsewhere = str(tmp_path / "elsewhere")
        for arguments in (["--project", elsewhere, "ls"], ["ls", "--project", elsewhere]):
            assert answer(*arguments) == (0, "", f"{elsewhere}: it has no runs yet\n")

    def test_help(self, answer: Answer) -> None:
        for arguments in (["--help"], *([name, "-h"] for name in cli.COMMANDS)):
            code, out, err = answer(*arguments)
            assert (code, err) == (0, "")
            assert out.startswith("Usage: hopslite")
        assert answer("--version")[1] == f"hopslite {hopslite.__version__}\n"

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_completion(self, home: Project, answer: Answer, shell: str) -> None:
        code, out, _ = answer("completion", shell)
        assert (code, "_HOPSLITE_COMPLETE" in out) == (0, True)
        environment = {"_HOPSLITE_COMPLETE": "bash_complete", "COMP_WORDS": "hopslite show di", "COMP_CWORD": "2"}
        done = subprocess.run(
            [sys.executable, "-c", "import sys; sys.argv[0] = 'hopslite'; from hopslite.cli import main; main()"],
            env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.stdout.split() == ["plain,digits"]

    def test_a_reader_that_goes_away(self, home: Project) -> None:
        command = shlex.join([sys.executable, "-m", "hopslite.cli", "show", "digits/1", "--json"]) + " | head -c 10"
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.stdout, done.stderr) == ('{\n  "run_i', "")

    def test_it_does_not_load_what_it_does_not_need(self) -> None:
        """So that it answers at once."""
        look = "import sys; from hopslite.cli import main; main(['ls']); print(sorted(sys.modules))"
        done = subprocess.run(
            [sys.executable, "-c", look], capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
        for module in ("pyspark", "mlflow", "tensorflow", "torch", "pandas", "numpy", "scipy", "matplotlib", "optuna"):
            assert f"'{module}'" not in done.stdout, module


class TestDamage:
    """What others leave in a project, and what they type."""

    def test_a_stray_file_and_a_damaged_run(self, home: Project, answer: Answer) -> None:
        for name in ("notes.txt", "notes"):
            Path(home.url, "Experiments", name).write_text("x")
        Path(home.url, "Experiments", "empty").mkdir()
        for key in ("name", "trials", "duration", "metric", "started"):
            code, out, err = answer("ls", "--sort", key)
            assert (code, err) == (0, "")
            assert out.count("DAMAGED") == 2 and "notes.txt" not in out
        assert answer("show", "digist")[0] == 3

    def test_text_that_is_none(self, home: Project, answer: Answer) -> None:
        for command in (["tag", "digits/1", "k=\udcff"], ["note", "digits/1", "\udcff"]):
            code, _, err = answer(*command)
            assert (code, "is not UTF-8 text" in err) == (2, True)
        answer("tag", "digits/1", "k=é")
        assert told(answer, "ls", "digits", "--tag", "k")[0]["tags"]["k"] == "é"

    def test_an_interrupt_says_what_there_is(self, answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(_: Any) -> None:
            raise RunInterrupted("what was interrupted, and how to go on")

        monkeypatch.setattr(ls, "home", interrupted)
        assert answer("ls") == (130, "", "what was interrupted, and how to go on\n")

    def test_a_reader_that_has_read_enough(self, home: Project) -> None:
        Path(home.url, "Experiments", ids(home)[0], "trials/0001/output.log").write_text("line\n" * 1_000_000)
        logs = shlex.join([sys.executable, "-m", "hopslite.cli", "logs", "digits/1"])
        logs += " | head -1; exit ${PIPESTATUS[0]}"
        done = subprocess.run(["bash", "-c", logs], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "line\n", "")

    def test_a_run_of_another_project_by_its_directory(
        self, home: Project, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        directory = f"{home.url}/Experiments/{ids(home)[0]}"
        calls: list[Any] = []
        monkeypatch.setattr(experiment, "resume", lambda *given, **options: calls.append((given, options)))
        answer("resume", directory, "--retry-failed", "--project", str(tmp_path / "another"))
        assert calls == [((ids(home)[0],), {"project": home.url, "retry_failed": True})]
        alone = tmp_path / "alone"
        shutil.copytree(directory, alone)
        code, _, err = answer("resume", str(alone), "--retry-failed")
        assert (code, "is in no project" in err) == (3, True)


class TestDoctor:
    def test_a_package_is_known_whatever_distribution_brings_it(self) -> None:
        """As TensorFlow of `tensorflow-cpu`."""
        assert version_of_package("yaml") == importlib.metadata.version("PyYAML")
        assert version_of_package("no_such_package") is None

    @pytest.mark.parametrize("uri", ["http://host:abc", "http://my server:5000"])
    def test_an_address_that_is_none(
        self, home: Project, answer: Answer, monkeypatch: pytest.MonkeyPatch, uri: str
    ) -> None:
        monkeypatch.setenv("HOPSLITE_TRACKING_URI", uri)
        code, out, _ = answer("doctor", "--no-spark")
        assert (code, "NO  MLflow:" in out) == (1, True)

    def test_what_works(self, home: Project, answer: Answer) -> None:
        code, out, _ = answer("doctor", "--no-spark")
        assert code == 0
        assert re.search(r"ok  Java: +(17|21|25) \(/.*java\)", out)
        for text in ("ok  Python:", "ok  Spark:", f"{home.url}, 3 runs", "--  MLflow:"):
            assert text in out

    @pytest.mark.parametrize(
        ("version", "gpus", "words"),
        [
            ("4.1.0", ("2", None), ["2 on each executor, none for a task", "shares such as 0.25"]),
            ("3.5.9", ("1", "0.25"), ["0.25 for a task", "other whole numbers", "or use Spark 4"]),
        ],
    )
    def test_gpus_that_spark_assigns(self, version: str, gpus: tuple[str, str | None], words: list[str]) -> None:
        (finding,) = spark_gpus(version, *gpus)
        assert [word for word in words if word not in f"{finding.text} {finding.todo}"] == []
        assert list(spark_gpus(version, None, None)) == []

    def test_what_does_not(
        self, home: Project, answer: Answer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("HOPSLITE_PROJECT", str(tmp_path / "file" / "project"))
        monkeypatch.setenv("HOPSLITE_TRACKING_URI", "http://ann:secret@127.0.0.1:1")
        monkeypatch.setenv("HOPSLITE_CHANNEL_PORT", "many")
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        code, out, err = answer("doctor", "--no-spark", "--json")
        problems = {each["what"]: each for each in json.loads(out) if each["state"] == "problem"}
        assert (code, err) == (1, "")
        assert problems.keys() == {"Java", "Ports", "Project", "MLflow"}
        assert "secret" not in out
        assert all(each["todo"] for each in problems.values() if each["what"] != "Ports")


class TestMlflowPages:
    """Where `hopslite ui` leads, with a server that is there already."""

    @pytest.fixture(autouse=True)
    def a_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOPSLITE_TRACKING_URI", "http://me:secret@mlflow.example/")

    def test_a_run_the_newest_or_all(self, home: Project, answer: Answer) -> None:
        for run_id in home.runs()[:2]:
            home.sub("Experiments", run_id).write_json("mlflow.json", {"run_id": f"r-{run_id}", "experiment_id": "7"})
        of_runs = "http://mlflow.example/#/experiments/7/runs"
        code, out, _ = answer("ui", "--no-browser")
        assert (code, out) == (0, f"{of_runs}?workflowType=machine_learning\n")
        _, out, _ = answer("ui", home.runs()[0], "--no-browser")
        assert out == f"{of_runs}/r-{home.runs()[0]}?workflowType=machine_learning\n"
        code, _, err = answer("ui", home.runs()[2], "--no-browser")
        assert (code, f"hopslite track {home.runs()[2]} tells it" in err) == (3, True)

    def test_the_prepared_view_if_mlflow_has_it(self, home: Project, answer: Answer) -> None:
        run_id = home.runs()[-1]
        for view, query in (("hopslite", "&viewStateShareKey=hopslite"), ("of others&x=1", ""), (None, "")):
            record = {"run_id": "r", "experiment_id": "7", "view": view}
            home.sub("Experiments", run_id).write_json("mlflow.json", record)
            _, out, _ = answer("ui", "--no-browser")
            assert out == f"http://mlflow.example/#/experiments/7/runs?workflowType=machine_learning{query}\n"

    def test_a_project_that_mlflow_does_not_know(self, home: Project, answer: Answer) -> None:
        _, out, _ = answer("ui", "--no-browser")
        assert out == "http://mlflow.example/#/experiments?workflowType=machine_learning\n"


def test_a_run_that_has_finished_is_not_resumed(home: Project, answer: Answer) -> None:
    run_id = experiment.load("digits/1").run_id
    before = RunDir(experiment.load("digits/1").logdir).list("sessions")
    code, out, _ = answer("resume", "digits/1")
    assert (code, out) == (0, f"run {run_id} has finished; nothing is left to do\n")
    assert RunDir(experiment.load("digits/1").logdir).list("sessions") == before


def test_a_run_with_several_metrics(home: Project, answer: Answer) -> None:
    run = experiment.grid_search(
        lambda x: {"accuracy": x, "latency": x**2 if x < 3 else -1},
        {"x": [1, 2, 3, 0]},
        direction=["max", "min"],
        optimization_key=["accuracy", "latency"],
        name="front",
        pool="inline",
        display=False,
    )
    assert [trial.id for trial in run.pareto_trials] == ["0002"]
    found = told(answer, "show", "front")
    assert (found["pareto_trials"], found["best_trial"], found["best_params"]) == (["0002"], None, None)
    assert found["objectives"][0] == {"name": "accuracy", "direction": "MAX"}
    assert found["trials"][1]["metrics"] == {"accuracy": 2, "latency": 4}
    shown = answer("show", "front")[1]
    assert "1 trial in accuracy (max), latency (min), marked below" in shown
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith("*")] == [["*", "0002"]]
    assert "accuracy=2, latency=4" in answer("show", "front", "1")[1]
    assert "1 of them  accuracy (max), latency (min)" in answer("ls", "front")[1]
    assert told(answer, "ls", "front")[0]["pareto_trials"] == ["0002"]
    assert answer("show", "front", "--csv")[1].startswith("id,state,pareto,x,")
    code, _, error = answer("logs", "front")
    assert code != 0
    assert "choose one of run.pareto_trials (1 of them)" in error
    assert answer("compare", "front", "digits")[0] == 0
    code, _, error = answer("best", "front")
    assert "say which one is meant with metric='accuracy' or 'latency'" in error
    assert told(answer, "best", "front", "--metric", "latency")["value"] == -1
