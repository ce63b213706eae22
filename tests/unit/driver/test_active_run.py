"""A run around code of the driver: `start_run`, and HopsML's `begin` and `end`."""

from __future__ import annotations

import contextlib
import contextvars
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hopslite
from hopslite import experiment, hdfs, model, tensorboard
from hopslite.cli import main
from hopslite.errors import InvalidArguments, ReportError, ResumeError, TrialFailed
from hopslite.executor.context import current, is_for_trials
from hopslite.storage.journal import JournalReader
from hopslite.storage.run_directory import RunDir
from tests.helpers.observe import PATIENCE_S, Lines, eventually
from tests.helpers.programs import Program

QUIET: dict[str, Any] = {"display": False}


def kinds(logdir: str) -> list[str]:
    return [event.kind for event in JournalReader(RunDir(logdir)).new() if event.kind != "tensorboard"]


def log_of(run: experiment.ActiveRun) -> str:
    return Path(run.logdir, "trials/0000/output.log").read_text()


class TestRecord:
    def test_it_is_that_of_any_run(self, project: str, capsys: pytest.CaptureFixture[str]) -> None:
        with experiment.start_run(
            "pi", description="a series", params={"terms": 3, "shape": (1, 2)}, tags={"team": "a"}, **QUIET
        ) as run:
            print("inside")
            print("to the error stream", file=sys.stderr)
            for step in range(3):
                hopslite.report(step / 2, step)
            Path(str(tensorboard.logdir()), "weights").write_text("w")
            Path(str(experiment.checkpoint_dir()), "c").write_text("c")
            exported = model.export(f"{tensorboard.logdir()}/weights", "pi")
            run.outputs["accuracy"] = 0.5
        made = run.result
        assert made is not None
        assert (made.run_id, made.name, made.version, str(made.state), made.verb) == (
            run.run_id, "pi", 1, "FINISHED", "start_run",
        )  # fmt: skip
        assert (made.logdir, made.description, made.tags) == (run.logdir, "a series", {"team": "a"})
        logdir, outputs = made
        assert logdir == f"{run.logdir}/trials/0000"
        assert json.loads(Path(logdir, ".outputs.json").read_text()) == outputs
        assert outputs["accuracy"] == 0.5
        assert json.loads(Path(logdir, ".hparams.json").read_text()) == {"terms": 3, "shape": [1, 2]}
        assert Path(logdir, "output.log").read_text() == "inside\nto the error stream\n"
        assert tuple(capsys.readouterr()) == ("inside\n", "to the error stream\n")
        assert (Path(logdir, "weights").read_text(), Path(logdir, "checkpoints/c").read_text()) == ("w", "c")
        assert (exported.run_id, exported.trial_id) == (run.run_id, "0000")
        assert made.reports()["value"].tolist() == [0, 0.5, 1]
        assert kinds(run.logdir) == ["run_started", "asked", "started", *["report"] * 3, "ended", "run_ended"]
        record = RunDir(run.logdir).read_json("run.json")
        assert (record["state"], record["verb"], record["name"]) == ("FINISHED", "start_run", "pi")
        assert Path(run.logdir, ".summary.json").exists()
        assert tuple(experiment.load("pi")) == tuple(made)
        assert current() is tensorboard.logdir() is None

    @pytest.mark.parametrize("place", ["local", "memory"])
    @pytest.mark.parametrize("local_logdir", [False, True])
    def test_what_it_writes_is_kept(self, project: str, place: str, local_logdir: bool) -> None:
        where = project if place == "local" else "memory://start-run"
        with experiment.start_run("files", local_logdir, project=where, **QUIET) as run:
            print("inside")
            Path(str(tensorboard.logdir()), "events").write_text("e")
            assert hdfs.project_path() == f"{where}/"
        assert run.result is not None
        kept = RunDir(run.result[0])
        assert (kept.read_bytes("events"), kept.read_bytes("output.log")) == (b"e", b"inside\n")

    @pytest.mark.parametrize(
        ("outputs", "reports", "key", "metric"),
        [({}, [], None, None), ({}, [1, 3], None, 3), ({"a": 1, "b": 2}, [5], "b", 2), ({"a": "text"}, [], None, None)],
    )
    def test_the_metric(self, project: str, outputs: Any, reports: Any, key: Any, metric: Any) -> None:
        with experiment.start_run(metric_key=key, **QUIET) as run:
            for value in reports:
                hopslite.report(value)
            run.outputs.update(outputs)
        assert run.result is not None
        assert run.result.trials[0].metric == metric
        assert RunDir(run.logdir).read_json("run.json")["metric"] == metric

    def test_several_reported_metrics_are_outputs(self, project: str) -> None:
        with experiment.start_run(**QUIET) as run:
            for value in (1, 2):
                hopslite.report({"loss": value, "accuracy": value / 2})
        assert run.result is not None
        [trial] = run.result.trials
        assert (trial.metric, trial.outputs["loss"], trial.outputs["accuracy"]) == (None, 2, 1)

    def test_the_program_stays_as_it_is(self, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("sub").mkdir()
        before = logging.getLogger().level, sys.stdout, sys.stderr, signal.getsignal(signal.SIGINT)
        threads = set(threading.enumerate())  # those of runs before this one may be about to end
        with experiment.start_run(**QUIET):
            monkeypatch.chdir("sub")
            monkeypatch.setenv("SET_INSIDE", "1")
            assert not is_for_trials()  # a search within may start Spark
            hdfs.dump("one", "Resources/x")
            assert os.access(hdfs.copy_to_local("Resources/x"), os.W_OK)  # a copy, and no link as in a trial
        assert (os.getcwd(), os.environ["SET_INSIDE"]) == (str(tmp_path / "sub"), "1")
        assert (logging.getLogger().level, sys.stdout, sys.stderr, signal.getsignal(signal.SIGINT)) == before
        assert set(threading.enumerate()) <= threads

    def test_a_terminal_stays_one(self, project: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True)
        fileno = sys.stdout.fileno()
        with experiment.start_run(**QUIET):
            assert sys.stdout.isatty()
            assert sys.stderr.isatty()
            assert sys.stdout.fileno() == fileno
        experiment.launch(lambda: print(sys.stdout.isatty()), name="trial", pool="inline", **QUIET)
        run = experiment.load("trial")
        assert Path(run[0], "output.log").read_text() == "False\n"

    def test_what_is_shown(self, project: str, capsys: pytest.CaptureFixture[str]) -> None:
        with experiment.start_run("shown") as run:
            shown = capsys.readouterr().err
        assert shown.startswith(f"shown version 1: start_run, run directory {run.logdir}\n")
        assert log_of(run) == ""
        after = capsys.readouterr().out
        assert "shown version 1: FINISHED" in after
        assert "resume" not in after
        display = Lines()
        with experiment.start_run(display=display):
            pass
        assert display.closed_with.verb == "start_run"


class TestEnds:
    def test_a_block_that_raises(self, project: str) -> None:
        def deep() -> None:
            raise ValueError("no luck")

        with pytest.raises(ValueError, match=r"^no luck$") as caught, experiment.start_run("bad", **QUIET) as run:
            print("before")
            deep()
        frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert frames == ["test_a_block_that_raises", "deep"]
        assert run.result is not None
        [trial] = run.result.trials
        assert (str(run.result.state), str(trial.state), trial.cause) == ("FAILED", "FAILED", "exception")
        assert trial.error == "ValueError: no luck"
        assert trial.traceback is not None
        assert trial.traceback.count("  File ") == 2
        assert log_of(run) == f"before\n{trial.traceback}"
        assert RunDir(run.logdir).read_json("run.json")["state"] == "FAILED"

    def test_an_interrupt(self, project: str) -> None:
        with pytest.raises(KeyboardInterrupt), experiment.start_run("stopped", **QUIET) as run:
            hopslite.report(1)
            raise KeyboardInterrupt
        assert run.result is not None
        assert (str(run.result.state), str(run.result.trials[0].state)) == ("KILLED", "KILLED")
        assert run.result.error == "interrupted"
        assert kinds(run.logdir) == ["run_started", "asked", "started", "report", "ended", "run_ended"]

    @pytest.mark.parametrize(("code", "state"), [(None, "FINISHED"), (0, "FINISHED"), (3, "FAILED")])
    def test_an_exit(self, project: str, code: Any, state: str) -> None:
        with pytest.raises(SystemExit), experiment.start_run(**QUIET) as run:
            sys.exit(code)
        assert run.result is not None
        assert str(run.result.state) == state

    def test_outputs_that_cannot_be_recorded(self, project: str) -> None:
        with (
            pytest.raises(TrialFailed, match="the metric 'loss' is nan, which cannot be compared"),
            experiment.start_run(metric_key="loss", **QUIET) as run,
        ):
            run.outputs["loss"] = float("nan")
        assert current() is None

    def test_ended_in_the_block(self, project: str) -> None:
        with experiment.start_run("own end", **QUIET) as run:
            run.outputs["a"] = 1
            made = run.end(2.5)
            with pytest.raises(InvalidArguments, match="run 'own end' is over"):
                run.end()
            with pytest.raises(ReportError, match="start_run"):
                hopslite.report(1)
        assert (made.trials[0].metric, made[1]["a"]) == (2.5, 1)
        with pytest.raises(InvalidArguments, match="run 'own end' is over; start another one"), run:
            pass

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"name": 5}, "name"),
            ({"params": [1]}, r"params=\[1\]; give a dict"),
            ({"metric_key": 3}, "metric_key=3; give a text"),
            ({"resume": "auto"}, "resume"),
            ({"tag": {}}, "tags"),
            ({"project": "/proc/none"}, "cannot be written"),
        ],
    )
    def test_bad_input(self, project: str, options: dict[str, Any], said: str) -> None:
        with pytest.raises(InvalidArguments, match=said):
            experiment.start_run(**{**QUIET, **options})
        assert not Path(project).exists()
        assert current() is None

    def test_it_cannot_be_resumed(self, project: str, capsys: pytest.CaptureFixture[str]) -> None:
        with contextlib.suppress(ValueError), experiment.start_run("broken", **QUIET) as run:
            raise ValueError
        assert not Path(run.logdir, "plan.pkl").exists()
        with pytest.raises(ResumeError, match="it was code of the driver's program within start_run"):
            experiment.resume(run.run_id)


class TestSeveral:
    def test_nested(self, project: str) -> None:
        with experiment.start_run("outer", **QUIET) as outer:
            hopslite.report(1)
            print("outer")
            with experiment.start_run("inner", **QUIET) as inner:
                hopslite.report(2)
                print("inner")
            made = experiment.launch(lambda: print("trial") or 4, name="trial", pool="inline", **QUIET)
            hopslite.report(3)
            print("outer again")
        assert [log_of(run) for run in (outer, inner)] == ["outer\nouter again\n", "inner\n"]
        assert outer.result is not None
        assert inner.result is not None
        assert outer.result.reports()["value"].tolist() == [1, 3]
        assert inner.result.reports()["value"].tolist() == [2]
        assert made[1]["metric"] == 4

    def test_two_at_once(self, project: str) -> None:
        both = threading.Barrier(2, timeout=PATIENCE_S)
        runs: dict[int, experiment.ActiveRun] = {}

        def work(number: int) -> None:
            with experiment.start_run("thread", **QUIET) as run:
                runs[number] = run
                both.wait()
                for step in range(3):
                    hopslite.report(number * 10 + step, step)
                    print(f"this is {number}")
                both.wait()
                run.outputs["logdir"] = tensorboard.logdir()

        threads = [threading.Thread(target=work, args=[number]) for number in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number, run in runs.items():
            assert run.result is not None
            assert run.result.reports()["value"].tolist() == [number * 10 + step for step in range(3)]
            assert run.result[1]["logdir"] == run.result[0]
            assert log_of(run) == f"this is {number}\n" * 3
        assert {run.result.version for run in runs.values() if run.result} == {1, 2}

    def test_a_forked_child_does_not_end_it(self, project: str) -> None:
        with experiment.start_run("parent", local_logdir=True, **QUIET) as run:
            Path(str(tensorboard.logdir()), "events").write_text("e")
            child = os.fork()
            if child == 0:
                run._abandon_at_exit()  # as `atexit` calls it in the child
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            hopslite.report(1)
        assert run.result is not None
        assert str(run.result.state) == "FINISHED"
        assert Path(run.result[0], "events").read_text() == "e"


def in_a_cell(code: Callable[[], Any]) -> Any:
    """Run code as a notebook does: what a cell sets in context variables is gone in the next one."""
    return contextvars.copy_context().run(code)


class TestBeginAndEnd:
    """HopsML's own test of them, and what surrounds it."""

    @pytest.mark.parametrize("local_logdir", [False, True])
    def test_cell_by_cell(self, project: str, local_logdir: bool, capsys: pytest.CaptureFixture[str]) -> None:
        def first() -> str:
            return experiment.begin("pi", local_logdir=local_logdir, description="custom", **QUIET)

        def second() -> None:
            assert tensorboard.logdir() == logdir
            print("second cell")
            hopslite.report(1)
            Path(logdir, "events").write_text("e")

        logdir = in_a_cell(first)
        in_a_cell(second)
        made = in_a_cell(lambda: experiment.end(3.14))
        assert (made.name, made.description, made.trials[0].metric) == ("pi", "custom", 3.14)
        assert Path(made[0], "events").read_text() == "e"
        assert Path(made[0], "output.log").read_text() == capsys.readouterr().out == "second cell\n"
        assert current() is None
        assert in_a_cell(experiment.checkpoint_dir) is None

    def test_ended_elsewhere(self, project: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A context variable of a run that ended in another context no longer counts."""
        experiment.begin("one", **QUIET)
        in_a_cell(experiment.end)
        assert current() is None
        with pytest.raises(ReportError):
            hopslite.report(1)
        logdir = in_a_cell(lambda: experiment.begin("two", **QUIET))
        print("in two")
        assert tensorboard.logdir() == logdir
        experiment.end()
        assert Path(logdir, "output.log").read_text() == "in two\n"
        print("outside")
        assert capsys.readouterr().out == "in two\noutside\n"

    def test_without_the_other(self, project: str) -> None:
        with pytest.raises(InvalidArguments, match=r"no run has begun; call experiment\.begin\(\) first"):
            experiment.end()
        experiment.begin("one", **QUIET)
        with pytest.raises(
            InvalidArguments, match=r"run 'one' has begun and not ended; call experiment\.end\(\) first"
        ):
            experiment.begin("two", **QUIET)
        experiment.end()
        with pytest.raises(InvalidArguments, match="no run has begun"):
            experiment.end()

    def test_a_failed_beginning_is_none(self, project: str) -> None:
        with pytest.raises(InvalidArguments):
            experiment.begin("", **QUIET)
        experiment.begin("one", **QUIET)
        assert experiment.end().trials[0].metric is None


PROGRAM = """
import os, signal, sys, time
import hopslite
from hopslite import experiment

experiment.begin("begun", display=False)
hopslite.report(1)
print("BEGUN 1", flush=True)
if sys.argv[1] == "waits":
    time.sleep(600)
if sys.argv[1] == "raises":
    raise ValueError("no luck")
"""


@pytest.mark.parametrize("how", ["ends", "raises", "is interrupted", "is killed"])
def test_a_program_that_does_not_end_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    program = Program(tmp_path, PROGRAM, "waits" if how.startswith("is") else how)
    try:
        program.said("BEGUN")
        if how.startswith("is"):
            os.kill(program.process.pid, signal.SIGINT if how == "is interrupted" else signal.SIGKILL)
        program.process.wait(60)
    finally:
        program.kill()
    monkeypatch.setenv("HOPSLITE_PROJECT", str(tmp_path / "hopslite_project"))
    eventually(lambda: str(experiment.load("begun").state) == "KILLED", "the run is KILLED")
    run = experiment.load("begun")
    assert run.reports()["value"].tolist() in ([1], *([[]] if how == "is killed" else []))
    if how == "is killed":
        assert run.error == "its driver is gone"
    else:
        assert run.error is not None
        assert run.error.startswith("the program ended before the run did; end it with experiment.end()")
    with contextlib.suppress(SystemExit):
        main(["show", "begun"])
    assert "hopslite resume" not in capsys.readouterr().out
