"""The environment of a training function, and its effects: output, files, and a process of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from hopslite import experiment
from tests.helpers.observe import Lines, eventually, files_below, in_background, text_of


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("inside") / "project")


def by_param(run: experiment.Run, name: str = "what") -> dict[Any, experiment.Trial]:
    return {trial.params[name]: trial for trial in run.trials}


class TestOutput:
    def test_everything_that_is_printed_is_in_the_log(self, local_spark: Any, shared: str) -> None:
        def train() -> int:
            import ctypes
            import logging
            import os
            import subprocess
            import sys

            print("from print")
            print("no line end", end="")
            sys.stderr.write("\nfrom stderr\n")
            ctypes.CDLL(None).printf(b"from C\n")
            os.system("echo from the shell")
            subprocess.run(["sh", "-c", "echo from a child >&2"], check=True)
            os.write(1, b"from the descriptor\n")
            logging.getLogger("user").warning("from logging")
            print("unicode \u00e9 \U0001f600")
            ctypes.CDLL(None).printf(b"no line end in C")
            return 1

        run = experiment.launch(train, project=shared, display=False)
        log = Path(run.trials[0].logdir, "output.log").read_text()
        for line in (
            "from print",
            "no line end",
            "from stderr",
            "from C",
            "from the shell",
            "from a child",
            "from the descriptor",
            "from logging",
            "unicode \u00e9 \U0001f600",
            "no line end in C",
        ):
            assert line in log

    def test_it_can_be_read_while_the_trial_runs_and_is_shown(
        self, local_spark: Any, shared: str, tmp_path: Path
    ) -> None:
        def train(release: str) -> int:
            import ctypes
            import os
            import time

            print("python waits")
            ctypes.CDLL(None).printf(b"C waits\n")
            until = time.monotonic() + 60
            while not os.path.exists(release) and time.monotonic() < until:
                time.sleep(0.01)
            print("released")
            return int(os.path.exists(release))

        release, display = tmp_path / "release", Lines()

        def search() -> experiment.Run:
            return experiment.grid_search(
                train, {"release": [str(release)]}, verbose=True, project=shared, display=display
            )

        with in_background(search) as running:
            try:
                assert display.started.wait(60)
                log = Path(display.logdir, "trials/0000/output.log")
                eventually(lambda: "python waits\n" in text_of(log) and "C waits\n" in text_of(log), "lines in the log")
                eventually(lambda: "[0000] python waits" in display.lines, "a line on the display")
                eventually(lambda: "[0000] C waits" in display.lines, "a line of C on the display")
                assert "released" not in text_of(log)
            finally:
                release.touch()
            assert running.result().best_metric == 1
        assert "[0000] released" in display.lines

    def test_a_flood_is_limited_on_the_console_and_complete_in_the_log(self, local_spark: Any, shared: str) -> None:
        def train() -> int:
            for number in range(50_000):
                print("line", number)
            print("the last line")
            return 1

        display = Lines()
        run = experiment.launch(train, verbose=True, project=shared, display=display)
        log = Path(run.trials[0].logdir, "output.log").read_text().splitlines()
        assert log == [*(f"line {n}" for n in range(50_000)), "the last line"]
        shown = [line for line in display.lines if line.startswith("[0000]")]
        assert 10 <= len(shown) <= 5_000
        assert any("output.log" in line for line in shown)  # it says that there is more, and where

    def test_a_line_without_end_is_cut_on_the_console(self, local_spark: Any, shared: str) -> None:
        def train() -> int:
            import sys

            sys.stdout.write("x" * (70 << 20))
            return 1

        display = Lines()
        run = experiment.launch(train, verbose=True, max_retries=0, project=shared, display=display)
        assert Path(run.trials[0].logdir, "output.log").stat().st_size >= 70 << 20
        shown = [line for line in display.lines if line.startswith("[0000] xxx")]
        assert sum(map(len, shown)) < 100_000
        assert shown

    def test_nothing_is_shown_unless_asked_for(self, local_spark: Any, shared: str) -> None:
        def train() -> int:
            print("quiet")
            return 1

        display = Lines()
        experiment.launch(train, project=shared, display=display)
        assert not any("quiet" in line for line in display.lines)

    def test_a_display_that_shows_output_has_it_while_the_trial_runs(
        self, local_spark: Any, shared: str, tmp_path: Path
    ) -> None:
        def train(release: str) -> int:
            import os
            import time

            print("on its way")
            until = time.monotonic() + 60
            while not os.path.exists(release) and time.monotonic() < until:
                time.sleep(0.01)
            return int(os.path.exists(release))

        class Showing(Lines):
            shows_output = True

        release, display = tmp_path / "release", Showing()
        with in_background(
            lambda: experiment.launch(train, {"release": [str(release)]}, project=shared, display=display)
        ) as running:
            try:
                eventually(
                    lambda: any("0000  on its way" in status.printed for status in display.statuses), "a line is shown"
                )
            finally:
                release.touch()
            assert running.result()[1] is not None
        assert not any("on its way" in line for line in display.lines)


class TestFiles:
    def test_each_trial_keeps_its_own(
        self, local_spark: Any, shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two trials side by side write the same relative names."""
        here = tmp_path / "here"
        (here / "data").mkdir(parents=True)
        (here / "input.txt").write_text("the input")
        (here / "data" / "more.txt").write_text("more input")
        meeting = tmp_path / "meeting"
        meeting.mkdir()
        monkeypatch.chdir(here)

        def train(n: int, meeting: str, absolute: str) -> dict[str, Any]:
            import os
            import pathlib
            import time

            cwd = pathlib.Path.cwd()
            pathlib.Path("plot.png").write_text(f"plot {n}")
            os.makedirs("model/deep")
            pathlib.Path("model/deep/weights.bin").write_text(f"weights {n}")
            pathlib.Path(meeting, str(n)).touch()
            until = time.monotonic() + 60
            while len(os.listdir(meeting)) < 2:  # both have written
                if time.monotonic() > until:
                    raise TimeoutError("alone")
            return {
                "metric": n,
                "input": pathlib.Path("input.txt").read_text(),
                "more": pathlib.Path("data/more.txt").read_text(),
                "read back": pathlib.Path("plot.png").read_text(),
                "plot": "plot.png",
                "theirs": absolute,
                "text": "no/such/file.png",
                "cwd": str(cwd),
            }

        run = experiment.grid_search(
            train,
            {"n": [1, 2], "meeting": [str(meeting)], "absolute": [str(here / "input.txt")]},
            project=shared,
            display=False,
        )
        for trial in run.trials:
            n, folder, outputs = trial.params["n"], Path(trial.logdir), trial.outputs or {}
            assert (outputs["input"], outputs["more"], outputs["read back"]) == ("the input", "more input", f"plot {n}")
            assert outputs["text"] == "no/such/file.png"
            place = f"Experiments/{run.run_id}/trials/{trial.id}"
            assert outputs["plot"] == f"{place}/plot.png"
            assert (folder / "plot.png").read_text() == f"plot {n}"
            assert Path(shared, outputs["theirs"]).read_text() == "the input"
            assert (folder / "model/deep/weights.bin").read_text() == f"weights {n}"  # kept without being returned
            assert not Path(outputs["cwd"]).exists()  # scratch, cleaned up
        assert files_below(here) == {"data", "data/more.txt", "input.txt"}
        assert (here / "input.txt").read_text() == "the input"

    def test_nothing_is_written_beside_the_driver(
        self, local_spark: Any, shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A trial writes only below its own directory, also under a name that the driver's directory has."""
        here, meeting = tmp_path / "here", tmp_path / "meeting"
        meeting.mkdir()
        (here / "out").mkdir(parents=True)
        (here / "old.txt").write_text("of an earlier program")
        (here / "log.txt").write_text("of an earlier program\n")
        (here / "out" / "plot.png").write_text("of an earlier program")
        monkeypatch.chdir(here)

        def train(n: int, meeting: str) -> dict[str, Any]:
            import os
            import pathlib
            import time

            pathlib.Path("old.txt").write_text(f"new {n}")
            with open("log.txt", "a") as log:
                log.write(f"new {n}\n")
            pathlib.Path("out/plot.png").write_text(f"new {n}")
            pathlib.Path("out/more.png").write_text(f"more {n}")
            pathlib.Path(meeting, str(n)).touch()
            until = time.monotonic() + 60
            while len(os.listdir(meeting)) < 2:  # both have written
                if time.monotonic() > until:
                    raise TimeoutError("alone")
            return {"metric": n, "old": "old.txt", "log file": "log.txt", "plot": "out/plot.png"}

        run = experiment.grid_search(train, {"n": [1, 2], "meeting": [str(meeting)]}, project=shared, display=False)
        for trial in run.trials:
            n, outputs = trial.params["n"], trial.outputs or {}
            assert Path(shared, outputs["old"]).read_text() == f"new {n}"
            assert Path(shared, outputs["log file"]).read_text() == f"of an earlier program\nnew {n}\n"
            assert Path(shared, outputs["plot"]).read_text() == f"new {n}"
        assert files_below(here) == {"old.txt", "log.txt", "out", "out/plot.png"}
        for name in ("old.txt", "log.txt", "out/plot.png"):
            assert (here / name).read_text().strip() == "of an earlier program"

    def test_files_of_a_trial_that_failed_are_kept(self, local_spark: Any, shared: str) -> None:
        def train(what: str) -> int:
            import os
            import pathlib

            pathlib.Path("checkpoint.bin").write_text(what)
            if what == "raise":
                raise ValueError
            if what == "die":
                os._exit(1)
            return 1

        run = experiment.grid_search(train, {"what": ["raise", "die", "end"]}, project=shared, display=False)
        for what, trial in by_param(run).items():
            assert Path(trial.logdir, "checkpoint.bin").read_text() == what

    @pytest.mark.parametrize("isolation", ["process", "none"])
    @pytest.mark.parametrize("local_logdir", [False, True])
    def test_logdir(self, local_spark: Any, shared: str, local_logdir: bool, isolation: str) -> None:
        def train(n: int) -> dict[str, Any]:
            import pathlib

            from hopslite import devices, tensorboard

            folder = tensorboard.logdir()
            assert folder is not None
            pathlib.Path(folder, "train").mkdir()
            pathlib.Path(folder, "train", "events.out").write_text(str(n))
            return {"metric": n, "logdir": folder, "gpus": devices.get_num_gpus()}

        run = experiment.grid_search(
            train,
            {"n": [1, 2]},
            local_logdir=local_logdir,
            isolation=isolation,
            gpus_per_trial=0,
            project=shared,
            display=False,
        )
        for trial in run.trials:
            assert trial.outputs is not None, trial.error
            assert Path(trial.logdir, "train", "events.out").read_text() == str(trial.params["n"])
            assert (trial.outputs["logdir"] == trial.logdir) is not local_logdir
            assert trial.outputs["gpus"] == 0


DIRTY = "HOPSLITE_TEST_DIRTY"


def untidy(what: str) -> dict[str, Any]:
    """First leaves everything in disorder, then looks at what is left of that."""
    import logging
    import math
    import os
    import random
    import signal
    import sys

    import numpy as np

    found = {
        "metric": 1,
        "pid": os.getpid(),
        "env": os.environ.get(DIRTY),
        "ml_id": os.environ.get("ML_ID"),
        "cwd is private": "hopslite-" in os.getcwd() and os.listdir() is not None,
        "patched": not callable(math.sqrt),
        "path": "/dirty" in sys.path,
        "handlers": len(logging.root.handlers),
        "sigterm": signal.getsignal(signal.SIGTERM) is signal.SIG_IGN,
        "umask": os.umask(0o022),
        "stdout": sys.stdout.closed,
        "random": random.random(),
        "numpy": float(np.random.rand()),
    }
    print("look at", what)
    if what == "dirty":
        os.environ[DIRTY] = "yes"
        os.environ["ML_ID"] = "wrong"
        os.chdir("/")
        sys.path.insert(0, "/dirty")
        logging.root.addHandler(logging.NullHandler())
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.umask(0o077)
        math.sqrt = None  # type: ignore[assignment]
        sys.stdout.close()
    return found


class TestIsolation:
    def test_a_trial_sees_nothing_of_another(self, local_spark: Any, shared: str) -> None:
        run = experiment.grid_search(
            untidy, {"what": ["dirty", "a", "b"]}, parallelism=1, isolation="process", project=shared, display=False
        )
        assert [str(t.state) for t in run.trials] == ["FINISHED"] * 3, [t.error for t in run.trials]
        looks = [trial.outputs or {} for trial in run.trials]
        for key in ("env", "ml_id", "cwd is private", "patched", "path", "handlers", "sigterm", "umask", "stdout"):
            assert looks[1][key] == looks[2][key] == looks[0][key], key
        assert looks[1]["env"] is None
        assert looks[1]["ml_id"] == run.run_id
        assert len({look["pid"] for look in looks}) == 3
        for stream in ("random", "numpy"):
            assert len({look[stream] for look in looks}) == 3, stream

    def test_without_isolation_the_process_is_put_right_again(self, local_spark: Any, shared: str) -> None:
        def train(what: str) -> dict[str, Any]:
            import io
            import os
            import pathlib
            import sys

            found = {
                "metric": 1,
                "pid": os.getpid(),
                "cwd": os.getcwd(),
                "files": os.listdir(),
                "env": os.environ.get("LEFT"),
                "id": os.environ["ML_ID"],
            }
            print("look at", what)
            if what == "dirty":
                os.environ["LEFT"] = "yes"
                os.environ["ML_ID"] = "wrong"
                pathlib.Path("left.txt").touch()
                os.chdir("/")
                sys.stdout = io.StringIO()
            if what == "bad":
                raise ValueError("bad")
            if what == "exit":
                sys.exit(3)
            return found

        run = experiment.grid_search(
            train,
            {"what": ["dirty", "bad", "exit", "clean"]},
            isolation="none",
            parallelism=1,
            project=shared,
            display=False,
        )
        trials = by_param(run)
        assert {what: (str(t.state), t.cause) for what, t in trials.items()} == {
            "dirty": ("FINISHED", None),
            "bad": ("FAILED", "exception"),
            "exit": ("FAILED", "exit"),
            "clean": ("FINISHED", None),
        }
        dirty, clean = trials["dirty"].outputs or {}, trials["clean"].outputs or {}
        assert dirty["pid"] == clean["pid"]
        assert os.path.basename(clean["cwd"]) != "" and clean["cwd"] != "/"
        assert clean["files"] == dirty["files"]
        assert clean["env"] is None
        assert clean["id"] == run.run_id
        for what, trial in trials.items():
            assert f"look at {what}" in Path(trial.logdir, "output.log").read_text()

        def elsewhere(_: int) -> tuple[str | None, str | None, bool]:
            import os

            return os.environ.get("LEFT"), os.environ.get("ML_ID"), "hopslite-" in os.getcwd()

        # the next Spark task in the same worker
        assert local_spark.sparkContext.parallelize([1], 1).map(elsewhere).collect() == [(None, None, False)]

    def test_a_thread_that_is_no_daemon_is_waited_for(self, local_spark: Any, shared: str) -> None:
        """As a program of one's own would; a writer in the background can finish its file."""

        def train() -> int:
            import pathlib
            import threading
            import time

            def write() -> None:
                time.sleep(0.5)  # the work that is still going on when the function has returned
                pathlib.Path("late.txt").write_text("complete")

            threading.Thread(target=write).start()
            return 1

        run = experiment.launch(train, isolation="process", project=shared, display=False)
        assert Path(run.trials[0].logdir, "late.txt").read_text() == "complete"
        assert run.trials[0].warnings == ()

    def test_what_a_trial_starts_ends_with_it(self, local_spark: Any, shared: str, tmp_path: Path) -> None:
        def train(what: str, folder: str) -> int:
            import multiprocessing
            import os
            import pathlib
            import subprocess
            import threading
            import time

            def note(pid: int) -> None:
                pathlib.Path(folder, f"{what}.{pid}").touch()

            sleep = ["sleep", "1000"]
            if what == "child":
                note(subprocess.Popen(sleep).pid)
            elif what == "own session":
                note(subprocess.Popen(sleep, start_new_session=True).pid)
            elif what == "orphan":
                shell = subprocess.run(
                    ["sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"], capture_output=True, check=True
                )
                note(int(shell.stdout))
            elif what == "multiprocessing":
                process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
                process.start()
                note(process.pid or 0)
            elif what == "thread":
                threading.Thread(target=time.sleep, args=(1000,)).start()
                note(os.getpid())
            elif what == "killed":
                note(subprocess.Popen(sleep).pid)
                os.kill(os.getpid(), 9)
            return 1

        kinds = ["child", "own session", "orphan", "multiprocessing", "thread", "killed", "nothing"]
        run = experiment.grid_search(
            train, {"what": kinds, "folder": [str(tmp_path)]}, parallelism=1, project=shared, display=False
        )
        assert {w: str(t.state) for w, t in by_param(run).items()} == {
            what: "FAILED" if what == "killed" else "FINISHED" for what in kinds
        }
        assert (run.duration or 0) < 60  # none was waited for
        noted = dict(name.split(".") for name in os.listdir(tmp_path))
        assert set(noted) == set(kinds) - {"nothing"}
        eventually(lambda: not [w for w, pid in noted.items() if psutil.pid_exists(int(pid))], f"all gone: {noted}", 20)

    def test_they_are_gone_while_the_run_goes_on(self, local_spark: Any, shared: str, tmp_path: Path) -> None:
        def train(n: int, note: str) -> int:
            import os
            import pathlib
            import subprocess
            import time

            if n == 0:
                pids = [subprocess.Popen(["sleep", "1000"], start_new_session=session).pid for session in (False, True)]
                pathlib.Path(note).write_text(" ".join(map(str, pids)))
                return 0
            left = pathlib.Path(note).read_text().split()
            until = time.monotonic() + 20
            while any(os.path.exists(f"/proc/{pid}") for pid in left):
                if time.monotonic() > until:
                    raise TimeoutError(
                        f"still there: {[pid for pid in left if os.path.exists(f'/proc/{pid}')]} of {left}"
                    )
                time.sleep(0.01)
            return n

        run = experiment.grid_search(
            train, {"n": [0, 1], "note": [str(tmp_path / "pids")]}, parallelism=1, project=shared, display=False
        )
        assert [str(t.state) for t in run.trials] == ["FINISHED"] * 2, run.trials[1].error

    def test_a_trial_can_use_processes_of_its_own(self, local_spark: Any, shared: str) -> None:
        def train() -> float:
            import concurrent.futures
            import multiprocessing

            with multiprocessing.get_context("fork").Pool(2) as pool:
                total = sum(pool.map(abs, [-1, -2, -3]))
            with concurrent.futures.ProcessPoolExecutor(2) as executor:
                return float(total) + sum(executor.map(abs, [-10]))

        assert experiment.launch(train, project=shared, display=False)[1]["metric"] == 16

    def test_use_of_the_machine_is_recorded(self, local_spark: Any, shared: str) -> None:
        def train() -> int:
            import time

            ballast = bytearray(150 << 20)
            ballast[::4096] = b"x" * len(ballast[::4096])
            until = time.process_time() + 0.5
            while time.process_time() < until:
                pass
            return len(ballast)

        [trial] = experiment.launch(train, project=shared, display=False).trials
        assert trial.usage is not None
        assert trial.usage["cpu_seconds"] >= 0.5
        assert trial.usage["max_memory_mb"] >= 150


@pytest.mark.parametrize("options", [{"pool": "inline"}, {"isolation": "process"}, {"isolation": "none"}])
def test_a_process_that_the_function_forks_does_not_speak_for_the_trial(
    local_spark: Any, shared: str, options: dict[str, Any]
) -> None:
    """Neither its reports nor its end: it writes between the frames of the trial, or ends as the trial."""

    def train(how: str) -> dict[str, Any]:
        import os
        import sys

        import hopslite
        from hopslite.errors import ReportError

        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                hopslite.report(7.0)
            except ReportError as error:
                os.write(writer, str(error).encode())
            if how == "exit":
                sys.exit(3)
            if how == "text":
                sys.exit("no more")
            if how == "raise":
                raise ValueError("of the child")
            return {"metric": 9.0}
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.close(writer)
        hopslite.report(1.0)
        return {"metric": 1.0, "said": os.read(reader, 1000).decode(), "code": code}

    ways = {"exit": 3, "text": 1, "raise": 1, "return": 0}
    run = experiment.launch(train, {"how": list(ways)}, project=shared, display=False, **options)
    for trial in run.trials:
        assert trial.outputs is not None, trial.error
        assert "this is one that it has forked" in trial.outputs["said"]
        assert trial.outputs["code"] == ways[trial.params["how"]]
    assert run.reports()["value"].tolist() == [1.0] * 4
