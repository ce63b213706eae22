"""Run tests, and those that have failed once more, one at a time.

    python -m tests.helpers.run_again -m "not slow" -n 3

A test that passes by itself was disturbed by its neighbours or by a busy machine. It is printed as unsteady, with its
first error, and does not fail the run; one that fails again does. Many failures are no accident: then none is run
again.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

MOST = 20  # failures that are run again
SECONDS = 900.0  # of one test run again, with its fixtures
OPTIONS = ("-p", "no:cacheprovider", "--quiet", "--durations=0", "--durations-min=60")


class Outcomes:
    """Pytest plug-in: counts of a run's tests, and the failed ones with their first errors.

    With pytest-xdist it belongs to the process that starts the workers, which has the reports of all of them.
    """

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.skipped: set[str] = set()
        self.failed: dict[str, str] = {}
        self.problems: list[str] = []  # which are no test's

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.passed.discard(report.nodeid)
            self.failed.setdefault(report.nodeid, first_error(report))
        elif report.skipped:
            self.skipped.add(report.nodeid)
        elif report.when == "call" and report.nodeid not in self.failed:
            self.passed.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.problems.append(report.nodeid)


def first_error(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message if crash is not None else report.longrepr)
    return next((line.strip() for line in text.splitlines() if line.strip()), "no message")[:300]


def passes_alone(nodeid: str) -> bool:
    command = [sys.executable, "-m", "pytest", *OPTIONS, nodeid]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            return process.wait(SECONDS) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)


def main(arguments: list[str]) -> int:
    outcomes = Outcomes()
    status = int(pytest.main(arguments, plugins=[outcomes]))
    failed = outcomes.failed
    if status == pytest.ExitCode.TESTS_FAILED and not outcomes.problems and len(failed) <= MOST:
        print(f"\n{len(failed)} failed: run again, one at a time", flush=True)
        unsteady = [nodeid for nodeid in failed if passes_alone(nodeid)]
        for nodeid in unsteady:
            print(f"unsteady: {nodeid}: {failed.pop(nodeid)}")
            outcomes.passed.add(nodeid)
        for nodeid, error in failed.items():
            print(f"FAILED {nodeid} - {error}")
        status = 1 if failed else 0
    print(f"{len(outcomes.passed)} passed, {len(failed)} failed, {len(outcomes.skipped - failed.keys())} skipped")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
