"""Snapshot of the program, its environment and its commit, kept with a run; never of secrets."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import platform
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core import installed
from ..core.redaction import redact, redact_value, spark_settings
from .run_directory import RunDir

__all__ = ["save_snapshot", "zipped"]

MOST_FILES = 1000
EARLIEST = (1980, 1, 1, 0, 0, 0)


def save_snapshot(run: RunDir, spark: dict[str, Any], program: Mapping[str, bytes] | None = None) -> list[str]:
    """Write `program.*`, `environment.txt`, `git.json` and `spark.json`; returns the parts that failed.

    Args:
        program: files that are the program, where it is not this process's.
    """

    def save_program(run: RunDir) -> None:
        for name, content in (program or {}).items():
            run.write_bytes(name, content)
        if program is None:
            _save_program(run)

    problems = []
    for save in (save_program, _save_environment, _save_git, lambda run: _save_spark(run, spark)):
        try:
            save(run)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            problems.append(f"{getattr(save, '__name__', 'a part')} of the run's record failed: {error}")
    return problems


def _save_program(run: RunDir) -> None:
    notebook, (cells, last) = _notebook_path(), _notebook_cells()
    if notebook is not None:
        saved = notebook.read_bytes()
        run.write_bytes("program.ipynb", saved)
        _save_neighbours(run, notebook)
    if cells and (notebook is None or not _has_cell(saved, last)):  # the current cell is not in the file, or not yet
        run.write_bytes("program.py", "\n\n".join(f"# %%\n{cell}" for cell in cells).encode())
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script and not cells and Path(script).is_file():
        run.write_bytes(f"program{Path(script).suffix or '.py'}", Path(script).read_bytes())
        _save_neighbours(run, Path(script))


def _save_neighbours(run: RunDir, program: Path) -> None:
    """Save the modules imported from the program's folder, together with the program."""
    files = _imported(program.resolve())
    if len(files) > 1:
        run.write_bytes("code.zip", zipped(files))


def _imported(script: Path) -> dict[str, str]:
    """Script and the modules imported from its folder, by relative path."""
    files = {script.name: str(script)}
    real = functools.cache(os.path.realpath)  # modules share few folders, and each link on the way is a system call
    own = {real(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}  # they may be below the home directory
    root = os.path.join(script.parent, "")
    for module in list(sys.modules.values()):
        folder, name = os.path.split(getattr(module, "__file__", None) or os.sep)
        if name.endswith(".py") and os.path.join(real(folder), "").startswith(root):
            path = Path(real(folder), name)
            is_installed = {"site-packages", "dist-packages"} & {*path.parts} or own & {*map(str, path.parents)}
            if not is_installed and path.is_file() and len(files) < MOST_FILES:
                files[str(path.relative_to(script.parent))] = str(path)
    return files


def zipped(files: Mapping[str, str]) -> bytes:
    """Zip archive of files by name; reproducible, whatever the files' times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(files.items()):
            info = zipfile.ZipInfo(name, EARLIEST)
            info.external_attr = (os.stat(path).st_mode & 0o777) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            with open(path, "rb") as file:
                archive.writestr(info, file.read())
    return buffer.getvalue()


def _notebook_path() -> Path | None:
    """Path of this kernel's notebook, as Jupyter (`JPY_SESSION_NAME`) and VS Code tell it."""
    names = [os.environ.get("JPY_SESSION_NAME"), getattr(sys.modules.get("__main__"), "__vsc_ipynb_file__", None)]
    for name in filter(None, names):
        path = Path(str(name))
        if path.suffix == ".ipynb" and path.is_file():
            return path
    return None


def _notebook_cells() -> tuple[list[str], str]:
    """Executed cells as Python, and the source of the current cell."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or shell.history_manager is None:
        return [], ""
    history = shell.history_manager
    return [cell for cell in history.input_hist_parsed if cell], str(history.input_hist_raw[-1])


def _has_cell(notebook: bytes, cell: str) -> bool:
    """True if a saved notebook has a cell with exactly this source; front ends save only now and then."""
    try:
        sources = ["".join(entry["source"]).strip() for entry in json.loads(notebook)["cells"]]
    except (ValueError, KeyError, TypeError):
        return False
    return cell.strip() in sources


def _save_environment(run: RunDir) -> None:
    head = f"# Python {platform.python_version()} on {platform.platform()}\n"
    run.write_bytes("environment.txt", redact(head + "\n".join(installed.versions()) + "\n").encode())
    prefix = os.environ.get("CONDA_PREFIX")
    if prefix and Path(prefix) in (Path(sys.prefix), Path(sys.base_prefix)):
        exported = _output("conda", "env", "export", "--no-builds", "--prefix", prefix)
        run.write_bytes("environment.yml", redact(exported.partition("\nvariables:")[0]).encode())


def _save_git(run: RunDir) -> None:
    with contextlib.suppress(FileNotFoundError, subprocess.CalledProcessError):  # no git, or no repository
        commit, branch = _output("git", "rev-parse", "HEAD", "--abbrev-ref", "HEAD").split()
        changed = [line[3:] for line in _output("git", "status", "--porcelain").splitlines()]
        remote = ""
        with contextlib.suppress(subprocess.CalledProcessError):
            remote = redact(_output("git", "config", "--get", "remote.origin.url").strip())
        run.write_json("git.json", {"commit": commit, "branch": branch, "remote": remote, "changed": changed})


def _output(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    return done.stdout


def _save_spark(run: RunDir, spark: dict[str, Any]) -> None:
    if spark:
        run.write_json("spark.json", {**redact_value(spark), "conf": spark_settings(spark.get("conf", {}))})
