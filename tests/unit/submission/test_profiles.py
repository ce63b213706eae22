"""Profiles: options under one name, which a job file and the command line override."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hopslite import cli, experiment
from hopslite.core.settings import Settings
from hopslite.errors import InvalidArguments
from hopslite.storage.project import Project
from hopslite.submission.options import OPTIONS
from hopslite.submission.profiles import PROFILE_KEYS, add_profile

PROFILES: dict[str, dict[str, Any]] = {
    "gpu": {"gpus_per_trial": 0.5, "master": "spark://host:7077", "parallelism": 4, "requirements": "r.txt"},
    "quick": {"timeout": 60, "pool": "inline", "queue": True},
}


def test_what_the_job_says_itself_takes_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job: dict[str, Any] = {"profile": "gpu", "parallelism": 2}
    added = add_profile(job, PROFILES)
    assert added == {"gpu": 0.5, "master": "spark://host:7077", "requirements": str(tmp_path / "r.txt")}
    assert job == {"profile": "gpu", "parallelism": 2, **added}
    assert add_profile({"parallelism": 2}, PROFILES) == {}


def test_keys_are_those_of_the_one_table() -> None:
    assert {option.key for option in PROFILE_KEYS.values()} <= OPTIONS.keys()
    assert {"master", "gpu", "gpus_per_trial", "parallelism", "python", "queue"} <= PROFILE_KEYS.keys()
    assert not {"detach", "profile", "metric", "name", "resume", "instance"} & PROFILE_KEYS.keys()


@pytest.mark.parametrize(
    ("profiles", "problems"),
    [
        ({}, "there is no profile 'gpu'; hopslite.toml has none; add [profiles.gpu]"),
        ({"gpus": {}, "cpu": {}}, "there is no profile 'gpu'; did you mean 'gpus'?"),
        ({"large": {}, "other": {}}, "there is no profile 'gpu'; there are large, other"),
        ({"gpu": {"paralelism": 2}}, "profile gpu: there is no key 'paralelism'; did you mean 'parallelism'?"),
        ({"gpu": {"metric": "loss"}}, "profile gpu: there is no key 'metric'; keys: "),
        ({"gpu": {"parallelism": 0}}, "profile gpu: parallelism is 0; give a whole number of at least 1"),
        ({"gpu": {"python": 3.12}}, 'profile gpu: python is 3.12; give a version in quotes, such as "3.12"'),
        ({"gpu": {"queue": "yes"}}, "profile gpu: queue is 'yes'; "),
        ({"gpu": {"gpu": 1, "gpus_per_trial": 2}}, "profile gpu: gpus_per_trial is there twice, under two names"),
    ],
)
def test_mistakes(profiles: dict[str, dict[str, Any]], problems: str) -> None:
    with pytest.raises(InvalidArguments) as error:
        add_profile({"profile": "gpu"}, profiles)
    assert len(error.value.problems) == 1
    assert problems in error.value.problems[0]


def test_settings_that_are_no_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("profiles = 3\n", "[profiles]\ngpu = 1\n"):
        Path("hopslite.toml").write_text(text)
        with pytest.raises(InvalidArguments, match=r"write \[profiles.gpu\] and below it"):
            Settings.load()


def test_a_run_with_one_and_its_record(
    tmp_path: Path, project: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    Path("hopslite.toml").write_text('[profiles.quick]\npool = "inline"\nqueue = true\nmax_failures = 3\n')
    Path("program.py").write_text("print('hello')\n")
    assert cli.main(["run", "--instance", "quick", "--max-failures", "2", "program.py"]) == 0
    (run_id,) = Project(project).runs()
    run = experiment.load(run_id)
    record = json.loads(Path(run.logdir, "command.json").read_text())
    assert record["options"] == ["--max-failures", "2", "--pool", "inline"]
    assert cli.main(["run", "--profile", "quik", "program.py"]) == 1
    assert "there is no profile 'quik'; did you mean 'quick'?" in capfd.readouterr().err
