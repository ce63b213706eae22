"""Secret values of parameters are not stored with a run, and are given again when it is resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment, space
from hopslite.driver.secret_values import secrets_of
from hopslite.errors import ResumeError, RunInterrupted

HERE: dict[str, Any] = {"pool": "inline", "display": False}


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., float]:
    """A training function that is interrupted at its second call, and writes down its arguments."""
    calls = tmp_path / "calls"

    def train(token: str, x: float) -> float:
        with calls.open("a") as file:
            file.write(f"{token} {x}\n")
        if len(calls.read_text().splitlines()) == 2:
            raise KeyboardInterrupt
        return x

    return train


def launched(train: Any) -> None:
    experiment.launch(train, {"token": ["s3cret-1", "s3cret-2", "s3cret-1"], "x": [0.1, 0.2, 0.3]}, name="it", **HERE)


def gridded(train: Any) -> None:
    experiment.grid_search(train, {"token": ["s3cret-1", "s3cret-2"], "x": [0.1, 0.2]}, name="it", **HERE)


def searched(train: Any) -> None:
    over = {"token": space.choice(["s3cret-1", "s3cret-2"]), "x": space.uniform(0, 1)}
    experiment.search(train, over, "tpe", num_trials=4, seed=1, name="it", **HERE)


@pytest.mark.parametrize("call", [launched, gridded, searched])
def test_a_resume_gets_them_again(
    call: Any, train: Any, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunInterrupted) as caught:
        call(train)
    before = (tmp_path / "calls").read_text().splitlines()
    for path in Path(project).rglob("*"):  # also this file, which the stored program has for tracebacks
        assert not path.is_file() or not any(text.encode() in path.read_bytes() for text in SECRETS.values()), path
    run_id = caught.value.result.run_id  # type: ignore[attr-defined]
    with pytest.raises(ResumeError, match="no record: HOPSLITE_PARAM_TOKEN, HOPSLITE_PARAM_TOKEN__2; set them in the"):
        experiment.resume(run_id, **HERE)
    with pytest.raises(ResumeError, match="no secret parameter in OTHER"):
        experiment.resume(run_id, env={**SECRETS, "OTHER": "1"}, **HERE)
    monkeypatch.setenv("HOPSLITE_PARAM_TOKEN__2", "s3cret-2")
    run = experiment.resume(run_id, env={"HOPSLITE_PARAM_TOKEN": "s3cret-1"}, **HERE)
    assert {str(trial.state) for trial in run.trials} == {"FINISHED"}
    after = (tmp_path / "calls").read_text().splitlines()[len(before) :]
    assert after[0] == before[1]  # the interrupted trial, with the same values
    assert {line.split()[0] for line in (*before, *after)} == {"s3cret-1", "s3cret-2"}


SECRETS = {"HOPSLITE_PARAM_TOKEN": "s3cret-1", "HOPSLITE_PARAM_TOKEN__2": "s3cret-2"}


def test_the_verb_itself_gets_them_anyway(train: Any, project: str) -> None:
    over = {"token": ["s3cret-1", "s3cret-2"], "x": [0.1, 0.2]}
    with pytest.raises(RunInterrupted) as caught:
        experiment.grid_search(train, over, name="it", **HERE)
    run_id = caught.value.result.run_id  # type: ignore[attr-defined]
    run = experiment.grid_search(train, over, name="it", resume=run_id, **HERE)
    assert len(run.trials) == 4


def test_nested_values_notes_and_tags(train: Any, project: str) -> None:
    accounts = [{"user": "ada", "token": "s3cret-1"}, {"user": "bob", "token": "s3cret-2"}]
    notes: dict[str, Any] = {"description": "with password=s3cret-2", "tags": {"hf_token": "s3cret-1", "team": "blue"}}
    with pytest.raises(RunInterrupted) as caught:
        experiment.launch(train, {"token": accounts, "x": [0.1, 0.2]}, name="it", **notes, **HERE)
    for path in Path(project).rglob("*"):
        assert not path.is_file() or not any(text.encode() in path.read_bytes() for text in SECRETS.values()), path
    run_id = caught.value.result.run_id  # type: ignore[attr-defined]
    run = experiment.resume(run_id, env=SECRETS, **HERE)
    assert {str(trial.state) for trial in run.trials} == {"FINISHED"}
    assert run.tags["team"] == "blue"


def test_a_variable_has_a_name_of_the_shell() -> None:
    assert secrets_of({"clé_api_key": ["hunter2"]}) == {"HOPSLITE_PARAM_CL__API_KEY": "hunter2"}
