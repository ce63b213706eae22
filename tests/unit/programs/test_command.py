"""Programs as trials: their parameters, variables, metrics, files, and how they fail."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
import textwrap
import time
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from hopslite import cli, experiment, stop
from hopslite.errors import InvalidArguments, TrialFailed
from hopslite.programs import processes
from hopslite.storage.run_directory import RunDir
from hopslite.submission.code_archive import pack
from hopslite.submission.job import command_of, merged_job
from tests.helpers.commands import OPTIONS, RECORDS_CALL, call_of, run_program


class TestProgram:
    def test_its_parameters(self, code: Path, project: str) -> None:
        params = {"lr": 0.1, "kind": "a b", "deep": True, "layers": [[1, 2]]}
        found = call_of(run_program(code, RECORDS_CALL, params))
        assert found["argv"] == ["--lr", "0.1", "--kind", "a b", "--deep", "true", "--layers", "[1, 2]"]
        assert found["env"]["HOPSLITE_PARAM_KIND"] == "a b"
        assert json.loads(found["env"]["HOPSLITE_PARAMS"]) == {"lr": 0.1, "kind": "a b", "deep": True, "layers": [1, 2]}
        assert found["trial"] == "0000"

    def test_parameters_in_its_words(self, code: Path, project: str) -> None:
        words = ("train.py", "fit", "--rate={lr}", "{kind}-{lr}", "{other}")
        assert call_of(run_program(code, RECORDS_CALL, {"lr": 0.5, "kind": "{lr}"}, words))["argv"] == [
            "fit",
            "--rate=0.5",
            "{lr}-0.5",
            "{other}",
        ]

    def test_its_environment_inputs_and_folder(self, code: Path, project: str, tmp_path: Path) -> None:
        (code / "helper.py").write_text("")
        (tmp_path / "data.csv").write_text("1")
        result = run_program(
            code, RECORDS_CALL, {}, environment={"MY_TOKEN": "s3cret"}, inputs={"train": str(tmp_path / "data.csv")}
        )
        found = call_of(result)
        assert found["env"]["MY_TOKEN"] == "s3cret"
        assert found["env"]["HOPSLITE_INPUT_TRAIN"] == str(tmp_path / "data.csv")
        assert found["here"] == ["helper.py", "train.py"]
        assert not os.path.exists(found["cwd"]), "the copy of the code was left behind"
        for path in Path(result.logdir).rglob("*"):
            if path.is_file() and path.name != "call.json":
                assert b"s3cret" not in path.read_bytes(), path

    def test_any_program(self, code: Path, project: str) -> None:
        (code / "go.sh").write_text('#!/bin/sh\necho "{\\"metric\\": \\"n\\", \\"value\\": $2}"\n')
        (code / "go.sh").chmod(0o755)
        assert run_program(code, "", {"n": 3}, ("./go.sh",)).trials[0].outputs["n"] == 3.0

    def test_its_code_is_kept(self, code: Path, project: str) -> None:
        result = run_program(code, RECORDS_CALL, {})
        deadline = time.monotonic() + 30
        while not RunDir(result.logdir).exists("code.zip") and time.monotonic() < deadline:
            time.sleep(0.05)
        with zipfile.ZipFile(io.BytesIO(RunDir(result.logdir).read_bytes("code.zip"))) as archive:
            assert archive.read("train.py").decode() == RECORDS_CALL
        assert not RunDir(result.logdir).exists("program.py")


class TestFiles:
    def test_below_its_working_directory_are_kept(self, code: Path, project: str) -> None:
        """The case that users have met: a directory for checkpoints, relative to where the program works."""
        program = """
import os
os.makedirs("out", exist_ok=True)
with open("out/checkpoint.txt", "w") as file:
    file.write(os.environ["HOPSLITE_PARAM_EPOCHS"])
"""
        result = run_program(code, program, {"epochs": [1, 2]})
        for trial in result.trials:
            assert Path(trial.logdir, "out", "checkpoint.txt").read_text() == str(trial.params["epochs"])
            assert not Path(trial.logdir, "train.py").exists()

    def test_are_shown(self, code: Path, project: str, capfd: pytest.CaptureFixture[str]) -> None:
        many = "import os\nos.mkdir('out')\nfor n in range(30): open(f'out/{n:02}.txt', 'w').close()"
        run_program(code, many, {})
        capfd.readouterr()
        assert cli.main(["show", "job", "0000"]) == 0
        shown = next(line for line in capfd.readouterr().out.splitlines() if "files:" in line)
        assert "out/00.txt, out/01.txt" in shown and shown.endswith(" and 11 more")
        assert cli.main(["show", "job", "0000", "--json"]) == 0
        assert len(json.loads(capfd.readouterr().out)["files"]) > 30


class TestVariables:
    """In a command's words: those of the program's environment, where no shell has put their values in."""

    @pytest.fixture
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATA", "/data/a b")
        monkeypatch.setenv("TRICKY", "$DATA {lr}")
        monkeypatch.delenv("NOBODY", raising=False)

    def call_by(self, program: str, typed: list[str], code: Path, **options: Any) -> Any:
        job = merged_job(program, typed, {})
        lists = {name: value if isinstance(value, list) else [value] for name, value in job["params"].items()}
        command = command_of(job, pack(str(code)))
        return call_of(experiment.launch(command, lists or None, name="job", **options, **OPTIONS))

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ("--out $HOPSLITE_OUTPUT/x ${HOPSLITE_TRIAL_ID}", ["--out", "{output}/x", "0000"]),
            ("--data $DATA/train ${DATA}s", ["--data", "/data/a b/train", "/data/a bs"]),
            ("\"$DATA/train\" '$DATA' \\$DATA $$DATA", ["/data/a b/train", "$DATA", "$DATA", "$DATA"]),
            ("$NOBODY ${NOBODY} ${NOBODY:-none} ${DATA:-none}", ["$NOBODY", "${NOBODY}", "none", "/data/a b"]),
            ("$TRICKY {lr} ${lr} $1 a$ '{print $2}'", ["$DATA {lr}", "1e-3", "1e-3", "$1", "a$", "{print $2}"]),
            ("$MINE $HOPSLITE_PARAM_LR", ["of the job", "1e-3"]),
        ],
    )
    def test_in_a_job_file(self, code: Path, project: str, environment: None, words: str, expected: list[str]) -> None:
        (code / "train.py").write_text(RECORDS_CALL + "open(os.environ['HOPSLITE_OUTPUT'] + '/here', 'w')")
        job = {"command": f"python train.py {words}", "params": {"lr": "1e-3"}, "env": {"MINE": "of the job"}}
        (code / "job.yml").write_text(json.dumps(job))
        argv = self.call_by(str(code / "job.yml"), [], code)["argv"]
        argv = argv if "lr}" in words else argv[:-2]
        output = str(next(Path(project).rglob("here")).parent)
        assert argv == [each.replace("{output}", output) for each in expected]

    def test_in_parameters_and_where_the_shell_did_not(self, code: Path, project: str, environment: None) -> None:
        (code / "train.py").write_text(RECORDS_CALL)
        (code / "job.yml").write_text("command: python train.py\nparams: {data: $DATA, out: ['$HOPSLITE_TRIAL_ID/x']}")
        found = self.call_by(str(code / "job.yml"), [], code)
        assert found["argv"] == ["--data", "/data/a b", "--out", "0000/x"]
        assert found["env"]["HOPSLITE_PARAM_DATA"] == "/data/a b"
        assert json.loads(found["env"]["HOPSLITE_PARAMS"]) == {"data": "/data/a b", "out": "0000/x"}
        typed = ["$DATA/x", "a\\$$b", '"$DATA"', "--data", "$DATA", "--out=$$DATA", "--x", '["$DATA"]', "--", "$DATA"]
        found = self.call_by(str(code / "train.py"), typed, code)
        assert found["argv"] == [
            "/data/a b/x", "a\\$b", '"/data/a b"', "--data", "/data/a b", "--out=$DATA", "--x", "/data/a b",
            "--", "$DATA",
        ]  # fmt: skip
        assert experiment.load("job").trials[0].params["data"] == "$DATA", "what a variable holds may be a secret"

    def test_of_the_driver_are_there_where_the_executor_has_none(self, tmp_path: Path, environment: None) -> None:
        (tmp_path / "job.yml").write_text("command: go $DATA $TRICKY ${DATA:-none}\nenv: {TRICKY: x}")
        command = command_of(merged_job(str(tmp_path / "job.yml"), [], {}), b"")
        assert command._line({}) == ["go", "/data/a b", "$TRICKY", "/data/a b"]
        assert command._line({}, {"DATA": "/here"})[:2] == ["go", "/here"]
        assert "/data" not in repr(command)

    def test_that_only_hopslite_could_set(self, tmp_path: Path) -> None:
        for name, hint in (("OUTPTU", "did you mean $HOPSLITE_OUTPUT?"), ("XYZ_ABC_123", "there are $HOPSLITE_")):
            (tmp_path / "job.yml").write_text(f"command: go $HOPSLITE_{name}\nparams: {{lr: 1}}\ninputs: {{d: x}}")
            job = merged_job(str(tmp_path / "job.yml"), [], {})
            with pytest.raises(InvalidArguments, match=f"no variable .HOPSLITE_{name}; ") as refused:
                command_of(job, b"")
            assert hint in str(refused.value)
        (tmp_path / "job.yml").write_text(
            "command: go $HOPSLITE_PARAM_LR $HOPSLITE_INPUT_D $$HOPSLITE_X ${HOPSLITE_X:-a}\n"
            "params: {lr: 1}\ninputs: {d: x}"
        )
        assert command_of(merged_job(str(tmp_path / "job.yml"), [], {}), b"")._line({"lr": 1})[2:4] == [
            "$HOPSLITE_INPUT_D", "$HOPSLITE_X",
        ]  # fmt: skip


class TestMetrics:
    def test_lines(self, code: Path, project: str) -> None:
        program = """
print('{"metric": "loss", "value": 0.5, "step": 0}')
print('not {"metric": "loss", "value": 9}')
print('  {"metric": "loss", "value": 0.25, "step": 1}  ')
print('{"metric": "f1", "value": 1}')
for bad in ('{', '{}', '{"metric": 3, "value": 1}', '{"metric": "loss", "value": "x"}', '[1]', '{"metric": "x"}'):
    print(bad)
print('{"metric": "last", "value": 2}', end="")
"""
        result = run_program(code, program, {"n": [1, 2]}, optimization_key="loss", metric="loss")
        assert result.best_metric == 0.25
        outputs = result.trials[0].outputs
        assert {name: outputs[name] for name in ("loss", "f1", "last")} == {"loss": 0.25, "f1": 1.0, "last": 2.0}
        assert result.reports()[["step", "value"]].values.tolist()[:2] == [[0.0, 0.5], [1.0, 0.25]]
        log = Path(result.trials[0].logdir, "output.log").read_text()
        assert log.splitlines()[1] == 'not {"metric": "loss", "value": 9}'

    @pytest.mark.parametrize("metric", ["loss", ("loss", "f1"), None])
    def test_each_has_a_curve_of_its_own(self, code: Path, project: str, metric: Any) -> None:
        program = """
import json
for epoch in (1, 2):
    for name, value in (("f1", epoch), ("loss", 3 - epoch)):
        print(json.dumps({"metric": name, "value": value, "step": epoch}))
    print(json.dumps({"metric": "seconds", "value": epoch / 4}))
    print(json.dumps({"metric": "f1", "value": 9, "step": 0}))  # the past
    print(json.dumps({"metric": "no\\tname", "value": 9, "step": epoch}))
"""
        keys = [*metric] if isinstance(metric, tuple) else metric
        goal = {"optimization_key": keys, "direction": ["min", "max"] if isinstance(keys, list) else "min"}
        result = run_program(code, program, {"n": [1]}, metric=metric, **(goal if metric else {}))
        rows = sorted(result.reports()[["metric", "step", "value"]].values.tolist())
        assert rows == [
            ["f1", 1, 1], ["f1", 2, 2], ["loss", 1, 2], ["loss", 2, 1], ["seconds", 0, 0.25], ["seconds", 1, 0.5],
        ]  # fmt: skip
        assert result.trials[0].outputs["loss"] == 1

    def test_tensorboard_files(self, code: Path, project: str) -> None:
        program = """
import os
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
for folder in (os.path.join(os.environ["HOPSLITE_OUTPUT"], "tb"), "logs"):
    writer = EventFileWriter(folder)
    for step in range(3):
        tag = "loss" if folder == "logs" else "accuracy"
        writer.add_event(Event(step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=step / 4)])))
    writer.close()
"""
        ours = """
os.rename(next(os.scandir("logs")).path, "logs/events.out.tfevents.0.hopslite")  # what has been reported already
"""
        assert "loss" not in run_program(code, program + ours, {"n": [1]}, optimization_key="accuracy").best_outputs
        result = run_program(code, program, {"n": [1]}, optimization_key="accuracy", metric="accuracy")
        assert (result.best_metric, result.best_outputs["loss"]) == (0.5, 0.5)
        frame = result.reports()
        for name in ("accuracy", "loss"):
            assert frame[frame["metric"] == name]["value"].tolist() == [0.0, 0.25, 0.5]

    @pytest.mark.parametrize("words", [("train.py",), ("sh", "-c", "{python} train.py; true")])
    def test_a_stopper_has_the_program_save_and_ends_what_it_started(
        self, code: Path, project: str, tmp_path: Path, words: tuple[str, ...]
    ) -> None:
        program = f"""
import os, signal, subprocess, sys, time
def save(*_):
    for number in range(3000):  # more than a pipe holds
        print("saving" * 10, flush=True)
    open("saved.txt", "w").write("all")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
ignores = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
child = subprocess.Popen([sys.executable, "-c", ignores])
open({str(tmp_path / "pids")!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
print('{{"metric": "loss", "value": 5, "step": 0}}', flush=True)
time.sleep(300)  # it reports no more: the order to stop reaches it all the same
"""
        words = tuple(word.format(python=shlex.quote(sys.executable)) for word in words)
        result = run_program(
            code, program, {"n": [1]}, words, optimization_key="loss", metric="loss", stopper=stop.Threshold(upper=4.0)
        )
        [trial] = result.trials
        assert str(trial.state) == "STOPPED"
        assert Path(trial.logdir, "saved.txt").read_text() == "all", "files of a program that is stopped are kept"
        pids = map(int, (tmp_path / "pids").read_text().split())
        assert not [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]

    def test_a_program_that_does_not_end_is_killed_after_the_time_it_has(self, code: Path, project: str) -> None:
        program = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("later", flush=True))
print('{"metric": "loss", "value": 5, "step": 0}', flush=True)
open("state", "w").close()
while True:
    time.sleep(0.1)
"""
        options: dict[str, Any] = {"optimization_key": "loss", "stopper": stop.Threshold(upper=4.0)}
        [trial] = run_program(code, program, {"n": [1]}, metric="loss", stop_grace=0.5, **options).trials
        assert str(trial.state) == "STOPPED" and Path(trial.logdir, "state").exists()
        assert "later" in Path(trial.logdir, "output.log").read_text()

    @pytest.mark.parametrize("noise", ["", "echo more;"])
    def test_a_program_that_leaves_something_behind_with_its_output_has_ended(
        self, code: Path, project: str, tmp_path: Path, noise: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(processes, "POLL_SECONDS", 0.2)
        monkeypatch.setattr(processes, "STOP_SECONDS", 0.5)
        left = f"echo $$ > {tmp_path}/left; while true; do {noise} sleep 0.05; done"
        program = f"""
import os, subprocess, time
subprocess.Popen(["sh", "-c", {left!r}])
while not os.path.exists("{tmp_path}/left"):
    time.sleep(0.01)
print('{{"metric": "loss", "value": 0.5}}')
"""
        try:
            [trial] = run_program(code, program, {}, metric="loss").trials
            assert trial.outputs["loss"] == 0.5
        finally:
            psutil.Process(int((tmp_path / "left").read_text())).kill()


class TestFailures:
    @pytest.mark.parametrize(
        ("program", "error"),
        [
            ("import sys; print('no data'); sys.exit(3)", "train.py ended with exit status 3: no data"),
            ("raise ValueError('too large')", "train.py ended with exit status 1: ValueError: too large"),
            ("import os; os.kill(os.getpid(), 9)", "train.py ended with signal 9"),
        ],
    )
    def test_are_its_own(self, code: Path, project: str, program: str, error: str) -> None:
        with pytest.raises(TrialFailed) as failed:
            run_program(code, program, {})
        trial = failed.value.result.trials[0]  # type: ignore[attr-defined]
        assert (trial.error, trial.cause, trial.traceback) == (error, "exit", None)

    def test_a_program_that_is_not_there(self, code: Path, project: str) -> None:
        with pytest.raises(TrialFailed, match="nowhere cannot be started: No such file or directory"):
            run_program(code, "", {}, ("nowhere",))

    def test_no_metric(self, code: Path, project: str) -> None:
        with pytest.raises(TrialFailed, match=r"has not reported the metric 'loss'; it reported: f1\. Have it print"):
            run_program(
                code, """print('{"metric": "f1", "value": 1}')""", {"n": [1]}, optimization_key="loss", metric="loss"
            )

    def test_several_metrics(self, code: Path, project: str) -> None:
        program = """
            import json, sys
            n = int(sys.argv[2])
            for name, value in (("f1", n), ("seconds", n * n)):
                print(json.dumps({"metric": name, "value": value}))
        """
        goal = {"optimization_key": ["f1", "seconds"], "direction": ["max", "min"]}
        made = run_program(code, textwrap.dedent(program), {"n": [1, 2]}, metric=("f1", "seconds"), **goal)
        assert [trial.metrics for trial in made.pareto_trials] == [{"f1": 1, "seconds": 1}, {"f1": 2, "seconds": 4}]
        with pytest.raises(TrialFailed, match="has not reported the metric 'loss'; it reported: f1, seconds"):
            run_program(code, textwrap.dedent(program), {"n": [1, 2]}, metric=("f1", "loss"), **goal)

    def test_no_folder_is_left_without_checkpoints(self, code: Path, project: str) -> None:
        result = run_program(code, "import os; print(os.listdir(os.environ['HOPSLITE_CHECKPOINT_DIR']))", {})
        assert not Path(result.trials[0].logdir, "checkpoints").exists()
