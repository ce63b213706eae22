"""`pool="inline"`: the whole job in this process, for debuggers; and the same record as on Spark."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import hopslite
from hopslite import experiment, space, tensorboard
from hopslite.core.types import Event, Spec
from hopslite.errors import RunInterrupted, TrialFailed
from hopslite.pool import Resources
from hopslite.pool.inline import Inline
from hopslite.search import Suggestion
from hopslite.storage.journal import JournalReader
from hopslite.storage.run_directory import RunDir
from tests.helpers import ROOT
from tests.helpers.observe import PATIENCE_S, Lines

HERE: dict[str, Any] = {"pool": "inline", "display": False}


def multiply(x: float, y: float) -> dict[str, Any]:
    print(f"multiply {x} {y}")
    return {"product": x * y, "sum": x + y, "note": "a/b"}


def test_a_grid_search_unpacks_as_hopsml_did(project: str) -> None:
    run = experiment.grid_search(multiply, {"x": [1, 2], "y": [3, 4]}, optimization_key="product", **HERE)
    logdir, params, outputs = run
    assert params == {"x": 2, "y": 4}
    assert (outputs["product"], outputs["sum"], outputs["note"]) == (8, 6, "a/b")
    assert json.loads(Path(logdir, ".outputs.json").read_text()) == outputs
    assert json.loads(Path(logdir, ".hparams.json").read_text()) == params
    assert float(Path(logdir, ".metric").read_text()) == 8
    assert "multiply 2 4" in Path(logdir, "output.log").read_text()
    assert [t.params for t in run.trials] == [{"x": x, "y": y} for x in (1, 2) for y in (3, 4)]


@pytest.mark.parametrize("returns", [True, False])
def test_a_number_is_the_metric_whatever_its_key(project: str, returns: bool) -> None:
    def train(x: int) -> int | None:
        hopslite.report(x)
        return x if returns else None

    logdir, params, outputs = experiment.grid_search(train, {"x": [1, 2]}, optimization_key="accuracy", **HERE)
    assert params == {"x": 2}
    assert outputs["accuracy"] == 2
    assert float(Path(logdir, ".metric").read_text()) == 2


def test_a_trial_that_changes_its_arguments_changes_nothing_else(project: str) -> None:
    def train(layers: Any, again: int) -> float:
        layers.append(10) if isinstance(layers, list) else layers[1].append(10)
        return len(layers) if isinstance(layers, list) else len(layers[1])

    choices: dict[str, Any] = {"layers": [[1, 2], (1, [2])], "again": [0, 1]}
    run = experiment.grid_search(train, choices, **HERE)
    assert [trial.metric for trial in run.trials] == [3, 3, 2, 2]
    assert [trial.params["layers"] for trial in run.trials] == [[1, 2], [1, 2], (1, [2]), (1, [2])]
    assert choices == {"layers": [[1, 2], (1, [2])], "again": [0, 1]}
    asked = [e.data["params"]["layers"] for e in JournalReader(RunDir(run.logdir)).new() if e.kind == "asked"]
    assert asked == [[1, 2], [1, 2], [1, [2]], [1, [2]]]


def test_what_cannot_be_copied_is_given_as_it_is(project: str) -> None:
    class Single:
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("there is one")

    def train(x: Any) -> float:
        return isinstance(x, Single) * 1.0

    assert experiment.grid_search(train, {"x": [Single()]}, **HERE).best_metric == 1


def test_classes_with_tolist_are_values_like_others(project: str) -> None:
    def train(dtype: Any) -> float:
        return float(np.finfo(dtype).bits) if dtype is not np.ndarray else 0.0

    run = experiment.grid_search(train, {"dtype": [np.float32, np.float64, np.ndarray]}, **HERE)
    assert run.best_params == {"dtype": np.float64}
    assert json.loads(Path(run.best_logdir, ".hparams.json").read_text()) == {"dtype": "float64"}
    asked = [e.data["params"] for e in JournalReader(RunDir(run.logdir)).new() if e.kind == "asked"]
    assert asked == [{"dtype": "float32"}, {"dtype": "float64"}, {"dtype": "ndarray"}]


def test_trials_run_in_this_very_process_and_thread(project: str) -> None:
    def where() -> dict[str, Any]:
        return {"pid": os.getpid(), "thread": threading.get_ident()}

    _, outputs = experiment.launch(where, **HERE)
    assert (outputs["pid"], outputs["thread"]) == (os.getpid(), threading.get_ident())


def test_nothing_of_the_process_is_changed(project: str, tmp_path: Path) -> None:
    def untidy(x: int) -> dict[str, Any]:
        sys.stdout.write("to the log\n")
        seen = [os.getcwd(), os.environ.get("HOPSLITE_TEST_LEAK"), "HOME" in os.environ]
        os.chdir(tmp_path)
        os.environ["HOPSLITE_TEST_LEAK"] = "1"
        os.environ.pop("HOME", None)
        return {"metric": x, "seen": seen}

    def look() -> dict[str, Any]:
        return {
            "streams": (sys.stdout, sys.stderr),
            "cwd": os.getcwd(),
            "environ": dict(os.environ),
            "handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
            "logging": (list(logging.root.handlers), logging.root.level),
            "threads": set(threading.enumerate()),
            "path": list(sys.path),
        }

    before = look()
    run = experiment.grid_search(untidy, {"x": [1, 2]}, **HERE)
    assert look() == before
    assert [(t.outputs or {})["seen"] for t in run.trials] == [[os.getcwd(), None, "HOME" in os.environ]] * 2


def test_one_bad_trial_does_not_end_the_search(project: str) -> None:
    def sometimes(x: int) -> float:
        if x == 1:
            raise ValueError("no ones")
        if x == 2:
            sys.exit(7)
        if x == 3:
            return float("nan")
        return [] if x == 4 else x  # type: ignore[return-value]

    run = experiment.grid_search(sometimes, {"x": [1, 2, 3, 4, 5]}, direction="min", **HERE)
    assert run.best_params == {"x": 5}
    assert run.state == "FINISHED"
    failures = {t.params["x"]: t for t in run.trials if t.state == "FAILED"}
    assert {x: t.cause for x, t in failures.items()} == {
        1: "exception",
        2: "exit",
        3: "not-a-number",
        4: "return-value",
    }
    assert failures[1].error == "ValueError: no ones"
    assert "in sometimes" in (failures[1].traceback or "")
    assert "ValueError: no ones" in Path(failures[1].logdir, "output.log").read_text()
    assert "7" in (failures[2].error or "")
    assert failures[3].metric is None


def test_when_every_trial_failed_the_first_cause_is_raised(project: str) -> None:
    def bad(x: int) -> None:
        raise KeyError(f"bad {x}")

    with pytest.raises(TrialFailed) as caught:
        experiment.grid_search(bad, {"x": [1, 2]}, name="doomed", **HERE)
    error = caught.value
    assert (error.trial_id, error.params, error.cause) == ("0000", {"x": 1}, "exception")
    assert "bad 1" in str(error)
    assert "in bad" in (error.traceback or "")
    assert "KeyError: 'bad 1'" in Path(error.log_path).read_text()
    record = json.loads(Path(error.logdir, "run.json").read_text())
    assert (record["state"], record["run_id"], record["name"]) == ("FAILED", error.run_id, "doomed")


def test_max_failures_bounds_the_failures(project: str) -> None:
    def bad(x: int) -> float:
        if x:
            raise ValueError(f"bad {x}")
        return 1.0

    with pytest.raises(TrialFailed, match="max_failures") as caught:
        experiment.grid_search(bad, {"x": [0, 1, 2, 3, 4]}, max_failures=1, **HERE)
    assert caught.value.params == {"x": 1}
    trials = caught.value.result.trials  # type: ignore[attr-defined]
    assert [str(t.state) for t in trials] == ["FINISHED", "FAILED", "FAILED"]
    run = experiment.grid_search(bad, {"x": [0, 1, 2]}, max_failures=2, **HERE)
    assert run.state == "FINISHED"


def test_an_interrupt_keeps_what_had_finished(project: str) -> None:
    def interrupted(x: int) -> int:
        if x == 2:
            raise KeyboardInterrupt
        return x

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(RunInterrupted) as caught:
        experiment.grid_search(interrupted, {"x": [1, 2, 3]}, **HERE)
    error = caught.value
    assert error.logdir in str(error)
    assert [str(t.state) for t in error.result.trials] == ["FINISHED", "KILLED"]
    assert json.loads(Path(error.logdir, "run.json").read_text())["state"] == "KILLED"
    assert signal.getsignal(signal.SIGINT) is handler
    ended = [e.trial for e in JournalReader(RunDir(error.logdir)).new() if e.kind == "ended"]
    assert ended == ["0000", "0001"]


def test_a_time_limit_ends_the_run(project: str) -> None:
    def passing(x: int) -> int:
        import time

        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            pass
        return x

    run = experiment.grid_search(passing, {"x": list(range(1000))}, timeout=0.5, **HERE)
    assert run.state == "FINISHED"
    assert 1 <= len(run.trials) <= 3


def test_a_run_in_memory_is_complete() -> None:
    run = experiment.grid_search(
        multiply, {"x": [1, 2], "y": [3]}, optimization_key="sum", project="memory://inline-test", **HERE
    )
    directory = RunDir(run.logdir)
    assert {"run.json", ".summary.json", "environment.txt", "journal", "trials"} <= set(directory.list())
    assert directory.read_json("run.json")["state"] == "FINISHED"
    assert set(directory.list("trials")) == {"0000", "0001"}
    assert {".hparams.json", ".outputs.json", ".metric", "output.log"} <= set(directory.list("trials/0001"))
    assert b"multiply 2 3" in directory.read_bytes("trials/0001/output.log")
    assert [e.kind for e in JournalReader(directory).new()][-1] == "run_ended"
    with fsspec.open(f"{run.best_logdir}/.outputs.json") as file:
        assert json.load(file)["sum"] == 5


@pytest.mark.parametrize("local_logdir", [False, True])
@pytest.mark.parametrize("place", ["local", "memory"])
def test_event_files_end_up_with_the_trial(project: str, place: str, local_logdir: bool) -> None:
    def writes(x: int) -> dict[str, Any]:
        folder = tensorboard.logdir()
        assert folder is not None
        Path(folder, "train").mkdir()
        Path(folder, "train", "events.out").write_text(str(x))
        return {"metric": x, "logdir": folder}

    where = project if place == "local" else "memory://inline-events"
    run = experiment.grid_search(writes, {"x": [1, 2]}, local_logdir=local_logdir, project=where, **HERE)
    for trial in run.trials:
        assert RunDir(trial.logdir).read_bytes("train/events.out") == str(trial.params["x"]).encode()
        assert trial.outputs is not None
        if place == "local" and not local_logdir:
            assert trial.outputs["logdir"] == trial.logdir
        else:
            assert not Path(trial.outputs["logdir"]).exists()  # scratch, cleaned up
    assert tensorboard.logdir() is None


def test_launch_takes_and_returns_what_hopsml_did(project: str) -> None:
    def anything(value: Any = None) -> Any:
        return value

    logdir, outputs = experiment.launch(anything, **HERE)
    assert json.loads(Path(logdir, ".outputs.json").read_text()) == outputs
    assert outputs["metric"] is None
    _, outputs = experiment.launch(anything, {"value": [[1, 2]]}, **HERE)
    assert outputs["metric"] == [1, 2]
    run = experiment.launch(anything, {"value": [1, 2]}, **HERE)
    assert run[1] is None
    assert [t.outputs["metric"] for t in run.trials if t.outputs] == [1, 2]
    run = experiment.launch(multiply, {"x": [1, 2], "y": [5, 3]}, metric_key="sum", **HERE)
    assert [(t.params, t.metric) for t in run.trials] == [({"x": 1, "y": 5}, 6), ({"x": 2, "y": 3}, 5)]
    with pytest.raises(TrialFailed, match="'accuracy'"):
        experiment.launch(multiply, {"x": [1], "y": [5]}, metric_key="accuracy", **HERE)


def test_output_is_shown_when_asked_for(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    experiment.grid_search(multiply, {"x": [1], "y": [3]}, optimization_key="sum", **HERE)
    assert "multiply" not in capsys.readouterr().out
    experiment.grid_search(multiply, {"x": [1], "y": [3]}, optimization_key="sum", verbose=True, **HERE)
    assert "multiply 1 3" in capsys.readouterr().out


def test_a_breakpoint_works(project: str, tmp_path: Path) -> None:
    """The debugger's output is shown, though the trial's own output is in its log only."""
    (tmp_path / "program.py").write_text(
        "from hopslite import experiment\n"
        "def train(n):\n"
        "    print('quiet')\n"
        "    breakpoint()\n"
        "    return n\n"
        "run = experiment.grid_search(train, {'n': [7]}, pool='inline', display=False)\n"
        "print('metric', run.best_metric)\n"
    )
    done = subprocess.run(
        [sys.executable, "program.py"],
        input="p n * 100\nn = 8\nc\n",
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert "700" in done.stdout, done.stderr
    assert "metric" in done.stdout
    assert "quiet" not in done.stdout


def test_the_display_hears_of_everything(project: str) -> None:
    def sometimes(x: int) -> int:
        return 1 // x

    display = Lines()
    run = experiment.grid_search(sometimes, {"x": [0, 1]}, pool="inline", display=display)
    assert display.logdir == run.logdir
    assert display.closed_with is run
    assert display.statuses[-1].done == 2
    assert display.statuses[-1].failed == 1
    assert any("0000" in line and "ZeroDivisionError" in line and "output.log" in line for line in display.lines)


@pytest.mark.parametrize("broken", ["start", "update", "line", "close"])
def test_a_display_that_fails_ends_no_run(project: str, broken: str, caplog: pytest.LogCaptureFixture) -> None:
    def sometimes(x: int) -> int:
        return 1 // x

    def fails(*_: Any) -> None:
        raise BrokenPipeError("nobody looks")

    display = Lines()
    setattr(display, broken, fails)
    run = experiment.grid_search(sometimes, {"x": [0, 1, 2]}, pool="inline", display=display)
    assert [str(trial.state) for trial in run.trials] == ["FAILED", "FINISHED", "FINISHED"]
    assert RunDir(run.logdir).read_json("run.json")["state"] == "FINISHED"
    assert [r.getMessage() for r in caplog.records if "nobody looks" in r.getMessage()] == [
        "the display failed and is switched off (BrokenPipeError: nobody looks)"
    ]


class LosesItsSlot(Inline):
    """Its slot is lost between the look at `free` and the first `submit`, and comes back with the next `wait`."""

    def __init__(self) -> None:
        super().__init__(Resources())
        self.asked: list[str] = []
        self.waits = 0
        self.gone = False

    @property
    def free(self) -> int:
        return 0 if self.gone else super().free

    def submit(self, spec: Spec) -> bool:
        self.asked.append(spec.trial_id)
        self.gone = len(self.asked) == 1
        return False if self.gone else super().submit(spec)

    def wait(self, timeout: float) -> Sequence[Event]:
        self.waits += 1
        assert self.waits < 100, "the run does not end"
        self.gone = False
        return super().wait(timeout)


class Wary(Inline):
    """A pool that has as many slots as are wanted of it, one at most, and passes on what JSON can carry."""

    wanted = 0

    def want(self, slots: int) -> None:
        self.wanted = slots

    @property
    def free(self) -> int:
        return min(super().free, self.wanted)

    def submit(self, spec: Spec) -> bool:
        return super().submit(Spec(**json.loads(json.dumps(spec.to_json()))))

    def wait(self, timeout: float) -> Sequence[Event]:
        assert self._waiting or not timeout, "the driver waits for a slot that it has not asked for"
        return super().wait(timeout)


class Counting:
    """An algorithm of one's own that expects fewer trials than it suggests, and suggests NumPy's numbers."""

    total = 2

    def __init__(self, space: Any, **options: Any) -> None:
        self._suggested = 0

    @property
    def done(self) -> bool:
        return self._suggested == 5

    def ask(self, trial_id: str) -> Suggestion | None:
        if self.done:
            return None
        self._suggested += 1
        return Suggestion(
            {"x": np.float32(self._suggested), "n": np.int64(3), "shape": [np.int32(1), (np.bool_(True),)]}
        )

    def adopt(self, trial_id: str, params: dict[str, Any]) -> Suggestion | None:
        return self.ask(trial_id)

    def tell(self, result: Any) -> None: ...

    def notes(self) -> list[str]:
        return []


def test_an_algorithm_whose_total_is_too_small_comes_to_its_end(project: str) -> None:
    def train(x: Any, n: Any, shape: Any) -> dict[str, Any]:
        return {"metric": x, "types": [type(value).__name__ for value in (x, n, shape[0], shape[1][0])]}

    display = Lines()
    bounds: dict[str, Any] = {"x": [0.0, 9.0], "n": [1, 4], "shape": space.choice([1, 2])}
    run = experiment.search(train, bounds, Counting, pool=Wary(Resources()), display=display)
    assert [trial.metric for trial in run.trials] == [1, 2, 3, 4, 5]
    assert run.best_outputs is not None
    assert run.best_outputs["types"] == ["float", "int", "int", "bool"]
    assert all(status.total >= status.done for status in display.statuses)


def test_a_trial_that_found_no_slot_is_run_later(project: str) -> None:
    def square(x: int) -> int:
        return x * x

    pool = LosesItsSlot()
    run = experiment.grid_search(square, {"x": [2, 3]}, pool=pool, display=False)
    assert pool.asked == ["0000", "0000", "0001"]
    assert [(str(trial.state), trial.metric) for trial in run.trials] == [("FINISHED", 4), ("FINISHED", 9)]


def test_versions_count_per_name(project: str) -> None:
    def one() -> int:
        return 1

    versions = [experiment.launch(one, name=name, **HERE).version for name in ("a", "a", "b", "a")]
    assert versions == [1, 2, 1, 3]


def test_the_same_seed_gives_the_same_suggestions(project: str) -> None:
    def fn(x: float, n: int) -> float:
        return x + n

    def params(seed: int | None) -> list[dict[str, Any]]:
        run = experiment.random_search(fn, {"x": [0.0, 1.0], "n": [1, 50]}, samples=5, seed=seed, **HERE)
        return [t.params for t in run.trials]

    assert params(3) == params(3) != params(4)
    drawn = experiment.random_search(fn, {"x": [0.0, 1.0], "n": [1, 50]}, samples=5, **HERE)
    assert params(drawn.seed) == [t.params for t in drawn.trials]


def test_settings_come_from_a_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one() -> int:
        return 1

    monkeypatch.chdir(tmp_path)
    (tmp_path / "hopslite.toml").write_text('project = "from-file"\n')
    assert f"{tmp_path}/from-file/" in experiment.launch(one, **HERE).logdir
    monkeypatch.setenv("HOPSLITE_PROJECT", "from-environment")
    assert f"{tmp_path}/from-environment/" in experiment.launch(one, **HERE).logdir
    assert f"{tmp_path}/from-call/" in experiment.launch(one, project="from-call", **HERE).logdir


def test_two_runs_at_once_from_two_threads(project: str) -> None:
    """Both capture standard output; each must find its own and give back the real one."""
    both = threading.Barrier(2, timeout=PATIENCE_S)
    sys.modules["hopslite_test_barrier"] = both  # type: ignore[assignment]

    def meet(who: int) -> int:
        import sys as modules

        modules.modules["hopslite_test_barrier"].wait()
        print(f"I am {who}")
        modules.modules["hopslite_test_barrier"].wait()
        return who

    before = sys.stdout, sys.stderr
    runs: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda n=n: runs.update({n: experiment.grid_search(meet, {"who": [n]}, **HERE)}))
        for n in (1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    del sys.modules["hopslite_test_barrier"]
    assert {n: run.best_params["who"] for n, run in runs.items()} == {1: 1, 2: 2}
    assert {run.version for run in runs.values()} == {1, 2}
    assert (sys.stdout, sys.stderr) == before
    for n, run in runs.items():
        assert f"I am {n}" in Path(run.best_logdir, "output.log").read_text()
