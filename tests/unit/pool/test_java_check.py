"""The check for Java, against programs that really are started."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hopslite.pool import _java_check
from tests.helpers.observe import PATIENCE_S

SCRIPT = _java_check.__file__
OPENJDK = "echo 'openjdk version \"{}\" 2025-04-15' >&2"


@pytest.fixture
def fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a shell script named java on the PATH, in front of any other, and forget JAVA_HOME."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def put(script: str) -> str:
        java = folder / "java"
        java.write_text(f"#!/bin/sh\n{script}\n")
        java.chmod(0o755)
        return str(java)

    return put


def assert_helpful(message: str | None, *expected: str) -> None:
    assert message is not None
    assert "\n" not in message
    for part in (*expected, "apt-get install openjdk-17-jre-headless", "brew install openjdk@17", "JAVA_HOME"):
        assert part in message


@pytest.mark.parametrize("version", ["17.0.15", "21", "21.0.3-ea"])
def test_supported(fake_java, version):
    fake_java(OPENJDK.format(version))
    assert _java_check.problem() is None
    assert _java_check.problem("3.5.7") is None
    assert _java_check.problem("4.0.1") is None


@pytest.mark.parametrize(
    ("version", "pyspark", "fine"),
    [
        ("1.8.0_392", "3.5.7", True),
        ("11.0.2", "3.5.7", True),
        ("11.0.2", "4.0.0", False),
        ("11.0.2", None, False),
        ("19.0.1", "3.5.7", False),
        ("25.0.3", "3.5.7", False),
        ("25.0.3", "4.2.0", False),
        ("25.0.3", "4.3.0", True),
        ("25.0.3", "4.10.0.dev1", True),
    ],
)
def test_each_pyspark_has_its_own_versions(fake_java, version, pyspark, fine):
    fake_java(OPENJDK.format(version))
    assert (_java_check.problem(pyspark) is None) == fine


def test_a_wrong_version_is_named_with_its_place(fake_java):
    java = fake_java(OPENJDK.format("1.8.0_392"))
    assert_helpful(_java_check.problem(), "Spark needs Java 17 or 21", "found Java 8", java)
    assert_helpful(_java_check.problem("4.3.0"), "pyspark 4.3.0 needs Java 17, 21 or 25")


def test_options_that_java_announces_first_do_not_matter(fake_java):
    fake_java("echo 'Picked up JAVA_TOOL_OPTIONS: -Dversion=\"1\"' >&2; " + OPENJDK.format("17.0.1"))
    assert _java_check.problem() is None


def test_missing(tmp_path, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert_helpful(_java_check.problem(), "no java was found on the PATH")


def test_java_home_decides_even_when_it_is_wrong(fake_java, tmp_path, monkeypatch):
    fake_java(OPENJDK.format("17.0.1"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    assert_helpful(_java_check.problem(), f"JAVA_HOME={tmp_path / 'nowhere'} holds no bin/java")
    java = fake_java(OPENJDK.format("11.0.1"))
    monkeypatch.setenv("JAVA_HOME", str(Path(java).parent.parent))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert_helpful(_java_check.problem(), "found Java 11", java)


def test_an_empty_java_home_is_none(fake_java, monkeypatch):
    fake_java(OPENJDK.format("17.0.1"))
    monkeypatch.setenv("JAVA_HOME", "")
    assert _java_check.problem() is None


def test_a_java_that_never_answers_is_ended_with_its_children(fake_java, tmp_path):
    # the child keeps the pipe open: ending the script alone would wait for it
    fake_java(f"sleep 1000 & echo $! > {tmp_path}/child; wait")
    assert_helpful(_java_check.problem(timeout=1.0), "did not answer within 1 s")
    child = int((tmp_path / "child").read_text())
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(child).wait(timeout=10)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'Unable to locate a Java Runtime.' >&2; exit 1", "Unable to locate a Java Runtime."),
        ("printf '\\377\\376 rubbish'", "rubbish"),
        ("exit 0", "names no version"),
        (OPENJDK.format("17.0.1") + "; exit 134", "exited with 134"),
    ],
)
def test_garbage(fake_java, script, expected):
    fake_java(script)
    assert_helpful(_java_check.problem(), expected)


def test_a_file_that_is_no_program(fake_java):
    java = fake_java("")
    Path(java).write_bytes(b"\x7fELF and no more")
    assert_helpful(_java_check.problem(), f"{java} cannot be run")


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT, *arguments],  # -S: no installed package can be needed
        env={k: os.environ[k] for k in ("PATH", "JAVA_HOME") if k in os.environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_as_a_script(fake_java):
    fake_java(OPENJDK.format("11.0.1"))
    failed = script()
    assert (failed.returncode, failed.stdout) == (1, "")
    assert_helpful(failed.stderr.rstrip("\n"), "found Java 11")
    fine = script("3.5.7")
    assert (fine.returncode, fine.stdout, fine.stderr) == (0, "", "")
