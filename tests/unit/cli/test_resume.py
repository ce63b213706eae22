"""`hopslite resume` of a program, whose variables are in no record."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from hopslite import cli, experiment
from hopslite.errors import InvalidArguments, ResumeError, TrialFailed
from hopslite.submission.code_archive import pack
from hopslite.submission.job import command_of, merged_job
from hopslite.submission.recorded_command import record_call
from tests.helpers.commands import OPTIONS, RECORDS_CALL, call_of


class TestResume:
    """The values of variables are in no record; who goes on with a run gives them again."""

    @pytest.fixture
    def broken(self, code: Path, project: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
        """The id of a run with a trial that failed."""
        monkeypatch.setenv("DATA", "s3cret-in-words")
        for name in ("TOKEN", "THREADS"):
            monkeypatch.delenv(name, raising=False)
        (code / "train.py").write_text(
            f"{RECORDS_CALL}\ncall.update(token=os.environ.get('MY_TOKEN'), threads=os.environ.get('THREADS'))\n"
            "open(os.path.join(os.environ['HOPSLITE_OUTPUT'], 'call.json'), 'w').write(json.dumps(call))\n"
            "print('refused', os.environ['MY_TOKEN'], os.environ['THREADS'])\n"
            f"sys.exit(not os.path.exists({str(tmp_path / 'works')!r}))"
        )
        (code / "my.env").write_text("MY_TOKEN=s3cret-of-file")
        (code / "job.yml").write_text("command: python train.py $DATA\nenv: {THREADS: 2, OTHER: s3cret-of-job}")
        given, program = {"environment": (str(code / "my.env"),)}, str(code / "job.yml")
        job = merged_job(program, [], dict(given))
        job["call_record"] = record_call(program, [], given, job, "command: x")
        with pytest.raises(TrialFailed) as failed:
            experiment.launch(command_of(job, pack(job["code"], job["secret"])), name="job", **OPTIONS)
        (tmp_path / "works").touch()
        run = failed.value.result  # type: ignore[attr-defined]
        assert call_of(run)["argv"] == ["s3cret-in-words"]
        Path(run.trials[0].logdir, "output", "call.json").unlink()
        return str(run.run_id)

    @pytest.fixture
    def resume(self, broken: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
        again = experiment.resume
        with_options = functools.wraps(again)(lambda *args, **options: again(*args, **options, **OPTIONS))
        monkeypatch.setattr(experiment, "resume", with_options)

        def resume(*options: str) -> tuple[int, str]:
            return cli.main(["resume", broken, "--retry-failed", *options]), capfd.readouterr().err

        return resume

    def test_no_value_is_in_a_record(self, broken: str, project: str) -> None:
        for path in Path(project).rglob("*"):
            said = path.name == "output.log"  # by the program
            assert not path.is_file() or said or b"s3cret" not in path.read_bytes(), path
        assert "exit status 1: refused *** 2" in str(experiment.load(broken).trials[0].error)
        [record] = Path(project).rglob("run.json")
        hashed = json.loads(record.read_text())["function"]["variables"]
        assert "words" in hashed and not {"environment", "typed_with"} & hashed.keys()

    def test_what_is_missing_is_named(self, resume: Any, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DATA")
        status, said = resume("--env", "MY_TOKEN=1")
        assert status == 1 and "Traceback" not in said
        assert "are in no record: THREADS, OTHER, DATA; set them in the environment, or give them again:" in said
        assert f"hopslite resume --env {code / 'my.env'} --env job.yml (" in said

    @pytest.mark.parametrize(
        "options", [["--env", "job.yml", "--env-file", "my.env"], ["--env", "THREADS=2", "--env", "OTHER=1"]]
    )
    def test_what_is_given_and_what_is_set_here(
        self, resume: Any, code: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], project: str
    ) -> None:
        monkeypatch.setenv("DATA", "another")
        monkeypatch.setenv("THREADS", "7")
        monkeypatch.setenv("MY_TOKEN", "s3cret-of-file")
        monkeypatch.chdir(code)
        assert resume(*options)[0] == 0
        found = call_of(experiment.load("job"))
        assert (found["argv"], found["token"], found["threads"]) == (["another"], "s3cret-of-file", "2")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("NOWHERE", "--env NOWHERE: no file has this name, and no variable that is set here; give NOWHERE=VALUE"),
            ("nowhere.env", "nowhere.env"),
        ],
    )
    def test_what_cannot_be_given(self, resume: Any, given: str, message: str) -> None:
        status, said = resume("--env", given)
        assert status == 1 and message in said and "Traceback" not in said

    def test_in_python(self, broken: str, project: str) -> None:
        with pytest.raises(InvalidArguments, match="env is no dict of text by text") as refused:
            experiment.resume(broken, env={"MY_TOKEN": 1}, **OPTIONS)  # type: ignore[dict-item]
        assert "MY_TOKEN" not in str(refused.value)
        env = {"MY_TOKEN": "1", "THREADS": "3", "OTHER": "x"}
        run = experiment.resume(broken, retry_failed=True, env=env, **OPTIONS)
        assert call_of(run)["threads"] == "3"
        plain = experiment.launch(lambda: 1, name="plain", **OPTIONS)
        with pytest.raises(ResumeError, match="has a training function, and no secret parameter in"):
            experiment.resume(plain.run_id, env=env, **OPTIONS)
