"""Programs as users run them, in processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from hopslite.storage.run_directory import RunDir
from tests.helpers import ROOT
from tests.helpers.observe import PATIENCE_S, eventually, text_of
from tests.helpers.spark_cluster import SHORT_LIVED


class Program:
    """A script in a process of its own, with another python3 first in the PATH.

    Several in one folder share its project directory; `name` tells them apart.
    """

    def __init__(self, folder: Path, source: str, *arguments: str, name: str = "", **environment: str | None) -> None:
        self.folder = folder
        (folder / "program.py").write_text(source)
        (folder / "bin").mkdir(exist_ok=True)
        for name_of_python in ("python3", "python"):
            other = folder / "bin" / name_of_python
            other.write_text("#!/bin/sh\necho this is another python >&2\nexit 42\n")
            other.chmod(0o755)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYSPARK", "SPARK", "HOPSLITE_PROJECT"))}
        changed = {
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "SPARK_SUBMIT_OPTS": SHORT_LIVED,
            **environment,
        }
        self.out, self.err = folder / f"{name}out", folder / f"{name}err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "program.py", *arguments],
                cwd=folder,
                env={k: v for k, v in {**inherited, **changed}.items() if v is not None},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.family: dict[int, psutil.Process] = {}

    def remember_family(self) -> None:
        """Note everything that the program has started, to find it again when the program is gone."""
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                self.family[process.pid] = process

    def survivors(self) -> list[str]:
        lines = []
        for process in self.family.values():
            with contextlib.suppress(psutil.Error):
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    lines.append(f"{process.pid} {' '.join(process.cmdline())[:80]}")
        return lines

    def said(self, word: str, seconds: float = PATIENCE_S) -> Any:
        """Wait for a word in the program's output, and return the text after it."""

        def look() -> list[str]:
            assert self.process.poll() is None or word in text_of(self.out), (
                f"ended early:\n{text_of(self.err)[-3000:]}"
            )
            return [line for line in text_of(self.out).splitlines() if line.startswith(word + " ")]

        [line] = eventually(look, f"{word} is printed", seconds)
        return json.loads(line.partition(" ")[2])

    def runs(self) -> list[RunDir]:
        place = self.folder / "hopslite_project" / "Experiments"
        return [RunDir(str(p)) for p in sorted(place.iterdir()) if not p.name.startswith(".")]

    def kill(self) -> None:
        """Everything, whatever the test has come to."""
        self.remember_family()
        self.process.kill()
        self.process.wait()
        for process in self.family.values():
            with contextlib.suppress(psutil.Error):
                process.kill()
