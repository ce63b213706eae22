"""Check for a Java that Spark supports, with a message of one line instead of Spark's page of text.

Only the standard library is used and nothing of hopslite is imported: the Makefile runs this file before anything is
installed. As a script it takes the version of pyspark, if that is known, prints the problem and exits with 1.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys

__all__ = ["describe", "problem"]

TIMEOUT_S = 30.0
RECOMMENDED = (17, 21)
HOW_TO_GET_IT = (
    "apt-get install openjdk-17-jre-headless (Debian, Ubuntu), brew install openjdk@17 (macOS), "
    "or set JAVA_HOME to one that is installed"
)


def problem(pyspark_version: str | None = None, *, timeout: float = TIMEOUT_S) -> str | None:
    """The problem with the installed Java, with instructions; None when Spark can run.

    Looks where Spark's start script looks: `JAVA_HOME/bin/java`, and only without JAVA_HOME at `java` on the PATH.
    A pyspark that is not known yet (None) is taken to need Java 17 or 21, which suit every supported version.
    """
    path, missing = _find_java()
    if path is None:
        return _message(pyspark_version, missing)
    version = _java_version(path, timeout)
    if isinstance(version, str):
        return _message(pyspark_version, version)
    if version in _accepted_versions(pyspark_version):
        return None
    return _message(pyspark_version, f"found Java {version} ({path})")


def describe() -> str:
    """Description of the Java that Spark would start: its major version and path."""
    path, missing = _find_java()
    return missing if path is None else f"{_java_version(path, TIMEOUT_S)} ({path})"


def _find_java() -> tuple[str | None, str]:
    """Path of the java that Spark would start, or a message when there is none."""
    home = os.environ.get("JAVA_HOME", "")
    if home:
        path = os.path.join(home, "bin", "java")
        return (path, "") if os.access(path, os.X_OK) else (None, f"JAVA_HOME={home} holds no bin/java")
    return shutil.which("java"), "no java was found on the PATH"


def _java_version(path: str, timeout: float) -> int | str:
    """The major version of a java, or a message when it cannot be determined."""
    try:
        process = subprocess.Popen(
            [path, "-version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return f"{path} cannot be run ({error.strerror})"
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        # the whole group: a child that holds the pipe open would keep communicate() waiting
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return f"{path} -version did not answer within {timeout:g} s"
    match = re.search(r'version "(?:1\.)?(\d+)', output)
    if process.returncode == 0 and match:
        return int(match.group(1))
    first_line = next((line.strip() for line in output.splitlines() if line.strip()), "")[:100]
    return f"{path} -version exited with {process.returncode} and names no version (it said {first_line!r})"


def _accepted_versions(pyspark_version: str | None) -> tuple[int, ...]:
    if pyspark_version is None:
        return RECOMMENDED
    match = re.match(r"(\d+)\.(\d+)", pyspark_version)
    release = (int(match.group(1)), int(match.group(2))) if match else (4, 0)
    if release < (4, 0):
        return (8, 11, *RECOMMENDED)
    return (*RECOMMENDED, 25) if release >= (4, 3) else RECOMMENDED


def _message(pyspark_version: str | None, problem: str) -> str:
    spark = "Spark" if pyspark_version is None else f"pyspark {pyspark_version}"
    *other_versions, last = map(str, _accepted_versions(pyspark_version))
    return f"{spark} needs Java {', '.join(other_versions)} or {last}; {problem}: {HOW_TO_GET_IT}"


def main(arguments: list[str]) -> int:
    """Print the problem, if there is one; the exit code."""
    message = problem(arguments[0] if arguments else None)
    if message:
        sys.stderr.write(message + "\n")
    return 1 if message else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
