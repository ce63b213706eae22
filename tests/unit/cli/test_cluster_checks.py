"""`hopslite doctor --cluster`: each finding, with what an executor's Python answers to the real program."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopslite import cli
from hopslite.cli._cluster_checks import findings_of
from hopslite.cli._findings import Finding
from hopslite.pool._cluster_probe import PROGRAM, REQUEST, ClusterFacts, ExecutorFacts, Listener
from hopslite.pool._python_check import own_packages
from hopslite.pool._shell_probe import shell_script
from tests.helpers import ROOT
from tests.helpers.observe import PATIENCE_S
from tests.helpers.small_disk import small_disk
from tests.helpers.spark_cluster import free_ports

TOKEN = "0123456789abcdef"
SOUND = ClusterFacts(
    master="spark://master:7077",
    version="4.0.0",
    application="app-1",
    conf={},
    executors=1,
    slots=2,
    free=2,
    occupancy="worker:1 has 2 of 2 cores free",
    driver="driver:40000",
    project="/shared",
    answers=(),
    arrived=frozenset(),
    project_error=None,
    gpus=((),),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The project's folder of a check, with the driver's file."""
    path = tmp_path / "project"
    path.mkdir()
    (path / "driver").write_bytes(b"driver")
    return path


def answer(
    folder: Path, port: int, python: str = sys.executable, program: str = PROGRAM, **variables: str
) -> ExecutorFacts:
    request = {
        "host": "127.0.0.1",
        "port": port,
        "token": TOKEN,
        "seconds": 5.0,
        "is_local": True,
        "folder": str(folder),
        "linger": 0,
    }
    context: Any = SimpleNamespace(pythonExec=python, _python_includes=[], environment={})
    done = subprocess.run(
        ["/bin/sh", "-c", shell_script(context, program)],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT), REQUEST: json.dumps(request), **variables},
    )
    return ExecutorFacts.from_lines(done.stdout.splitlines())


def heard(folder: Path, **options: Any) -> ExecutorFacts:
    """The answer of an executor that reaches the driver."""
    with Listener("127.0.0.1", range(1), TOKEN) as listener:
        return answer(folder, listener.port, **options)


def findings(*answers: ExecutorFacts, own: Mapping[str, str] | None = None, **changed: Any) -> dict[str, Finding]:
    arrived = frozenset(executor.written for executor in answers if executor.written)
    facts = dataclasses.replace(SOUND, **{"answers": answers, "arrived": arrived, **changed})
    return {finding.subject: finding for finding in findings_of(facts, own_packages() if own is None else own)}


def problems(rows: dict[str, Finding]) -> set[str]:
    return {subject for subject, finding in rows.items() if finding.state == "problem"}


def test_a_sound_executor(folder: Path) -> None:
    executor = heard(folder)
    assert (folder / str(executor.written)).read_text() == TOKEN
    rows = findings(executor)
    assert {subject: row.state for subject, row in rows.items() if row.state != "ok"} == {"GPUs": "note"}
    assert platform.python_version() in rows["Python"].text
    assert f"pyspark {own_packages()['pyspark']}" in rows["Packages"].text
    assert executor.packages == own_packages()
    assert abs(executor.clock or 0.0) < 60
    assert "driver:40000" in rows["Driver"].text


def test_one_that_cannot_reach_the_driver(folder: Path) -> None:
    executor = answer(folder, *free_ports(1))
    rows = findings(executor)
    assert problems(rows) == {"Driver"}
    assert "cannot reach the driver at driver:40000: ConnectionRefusedError" in rows["Driver"].text
    assert "HOPSLITE_CHANNEL_PORT" in rows["Driver"].todo
    assert rows["Clocks"].state == "note"


def test_one_that_has_another_disk_or_may_not_write(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = heard(tmp_path / "other")
    assert "this is another disk" in findings(other)["Project"].text
    (tmp_path / "file").write_text("")
    assert heard(tmp_path / "file").written is None
    sound = heard(folder)
    rows = findings(sound, arrived=frozenset())
    assert problems(rows) == {"Project"}
    assert "what it wrote is not there" in rows["Project"].text
    rows = findings(sound, project_error="Permission denied")
    assert "not from here: Permission denied" in rows["Project"].text


def test_one_whose_python_is_missing_or_another_or_bare(folder: Path, tmp_path: Path) -> None:
    missing = heard(folder, python="/nope/python3")
    rows = findings(missing)
    assert problems(rows) == {"Python"}
    assert "it does not run (" in rows["Python"].text
    assert "hopslite ship" in rows["Python"].todo
    isolated = tmp_path / "python"
    isolated.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    isolated.chmod(0o755)
    bare = heard(folder, python=str(isolated), PYTHONPATH="")
    assert (
        "without a working hopslite: ModuleNotFoundError: No module named 'hopslite'" in findings(bare)["Python"].text
    )
    assert bare.written is not None
    other = dataclasses.replace(bare, python="3.1.4")
    assert f"is Python 3.1.4, and this is {platform.python_version()}" in findings(other)["Python"].text


def test_one_with_other_packages(folder: Path) -> None:
    executor = heard(folder)
    rows = findings(executor, own={**own_packages(), "cloudpickle": "99", "pyspark": "3.5.1"})
    assert rows["Packages"].state == "note"
    assert "here it is 99 (functions may not be loaded there; install cloudpickle==99" in rows["Packages"].text
    assert f"install pyspark=={own_packages()['pyspark']} for the driver" in rows["Packages"].text
    older = dataclasses.replace(executor, packages={**executor.packages, "hopslite": "0.0.1"})
    assert problems(findings(older)) == {"Packages"}
    patch = {**own_packages(), "pyspark": own_packages()["pyspark"].rpartition(".")[0] + ".99"}
    assert findings(executor, own=patch)["Packages"].state == "ok"  # of another patch release


def test_one_whose_clock_is_ahead(folder: Path) -> None:
    ahead = "import time\nreal = time.time\ntime.time = lambda: real() + 3600\n"
    executor = heard(folder, program=ahead + PROGRAM)
    rows = findings(executor)
    assert rows["Clocks"].state == "note"
    assert "s ahead of the driver's" in rows["Clocks"].text
    assert 3000 < (executor.clock or 0.0) < 4000


def test_one_without_room_for_temporary_files(folder: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as disk:
        rows = findings(heard(folder, TMPDIR=str(disk.path)))
    assert rows["Disks"].state == "note"
    assert f"free in {disk.path}" in rows["Disks"].text


def test_no_core_is_free_and_no_task_runs() -> None:
    rows = findings(answers=None, free=0)
    assert problems(rows) == {"Slots", "Executors"}
    assert "no task has run in time; worker:1 has" in rows["Executors"].text


def test_gpus_of_executors() -> None:
    conf = {"spark.executor.resource.gpu.amount": "2"}
    rows = findings(conf=conf, gpus=(("10", "11"), ()))
    assert problems(rows) == {"GPUs"}
    assert "1 of 2 have announced none" in rows["GPUs"].text
    rows = findings(conf=conf, gpus=(("10", "11"), ("20", "21")))
    assert (rows["GPUs"].state, rows["GPUs"].text) == ("ok", "2 on each executor: 10, 11; 20, 21")
    assert "2 on each executor, none for a task" in rows["Task GPUs"].text


def test_a_program_that_is_no_executor_gets_no_answer() -> None:
    with (
        Listener("127.0.0.1", range(1), TOKEN) as listener,
        socket.create_connection(("127.0.0.1", listener.port), 5) as connection,
    ):
        connection.sendall(b"x" * len(TOKEN))
        assert connection.recv(100) == b""


def test_options_that_do_not_go_together(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--master", "local[2]"]) == 2
    assert "--master is for --cluster" in capfd.readouterr().err


def test_a_master_that_does_not_answer(capfd: pytest.CaptureFixture[str], project: str) -> None:
    assert cli.main(["doctor", "--cluster", "--master", f"spark://127.0.0.1:{free_ports(1)[0]}", "--json"]) == 1
    [row] = json.loads(capfd.readouterr().out)
    assert (row["what"], row["state"]) == ("Cluster", "problem")
    assert "no master answers at 127.0.0.1" in row["found"]
