"""Programs that run one after another in one process, and so with one Spark session, as the cells of a notebook do.

    python -m tests.helpers.shared_session   # reads a request a line, answers with a line

Each has a namespace, a working directory and a file for its output of its own; nothing else is reset between two.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from tests.helpers import ROOT
from tests.helpers.observe import end, text_of

SLOTS = 2  # each of them imports what a program uses


class SharedSession:
    """The process, which starts with the first program and anew after one that ended it or never ended."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)  # without what the first test that needs the process has set for itself
        self._process: subprocess.Popen[str] | None = None

    def run(self, path: Path, folder: Path, **environment: str) -> str:
        """Run the program at `path` in `folder`, and return all its output.

        Raises:
            AssertionError: it raised, or exited with a status other than 0.
        """
        written = folder.with_name(f"{folder.name}.output")  # not where a program's files are taken from
        request = {"path": str(path), "folder": str(folder), "output": str(written), "environment": environment}
        process = self._process = self._process or self._start()
        assert process.stdin and process.stdout
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BaseException:  # pytest's timeout is one
            self.close()
            raise
        output = text_of(written)
        if not answer:
            self.close()
            raise AssertionError(f"the program has ended its process\n{output[-6000:]}")
        error = json.loads(answer)["error"]
        assert error is None, f"{output[-6000:]}\n{error}"
        return output

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin
            process.stdin.close()
            end(process)

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.shared_session"],
            cwd=ROOT,
            env={**self._environment, "PYSPARK_SUBMIT_ARGS": f"--master local[{SLOTS}] pyspark-shell"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def serve() -> None:
    """Answer requests until there are no more."""
    with os.fdopen(os.dup(1), "w") as answers:
        for line in sys.stdin:
            request = json.loads(line)
            answers.write(json.dumps({"error": _error_of(**request)}) + "\n")
            answers.flush()


def _error_of(path: str, folder: str, output: str, environment: dict[str, str]) -> str | None:
    with _surroundings(path, folder, output, environment):
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as ended:
            return None if ended.code in (None, 0) else f"exit status {ended.code}"
        except BaseException:  # noqa: BLE001 - the answer says so
            return traceback.format_exc()
    return None


@contextlib.contextmanager
def _surroundings(path: str, folder: str, output: str, environment: dict[str, str]) -> Iterator[None]:
    """The variables, directory, `sys.path` and output that a process started for this program would have."""
    variables, modules_from = dict(os.environ), list(sys.path)
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = os.path.dirname(path)
    with open(output, "wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.path[:] = modules_from
        os.environ.clear()
        os.environ.update(variables)


if __name__ == "__main__":
    serve()
