"""What a run is made from: the program, its environment, its commit. Kept beside the results; secrets never."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .filesystems import without_credentials
from .rundir import RunDir

__all__ = ["redacted", "save_snapshot", "zipped"]

MOST_FILES = 1000
EARLIEST = (1980, 1, 1, 0, 0, 0)

_SECRET = re.compile(
    r"(?i:secret|password|passwd|passphrase|token|credential|(access|api|account)[._-]?key|authkey|private)"
    r"|(?i:fs\.azure\.sas\.|(?<![a-z])sig=|signature=|[._-]auth$)"
    r"|(?i:(?<!executorEnv)[._-]pwd(?![a-z])|(?<![a-z])pwd=)"  # the variable PWD is the working directory
    r"|PASS|Pass(?![A-Za-z])|(?<![A-Za-z])pass(?![A-Za-z])|Pwd"
)


def redacted(settings: dict[str, str]) -> dict[str, str]:
    """Settings without the values of those whose name or form says that they are secret."""
    return {
        key: "(redacted)" if _SECRET.search(key) or _SECRET.search(str(value)) else without_credentials(str(value))
        for key, value in sorted(settings.items())
    }


def save_snapshot(run: RunDir, spark: dict[str, Any], program: Mapping[str, bytes] | None = None) -> list[str]:
    """Write `program.*`, `environment.txt`, `git.json` and `spark.json`; returns what could not be written.

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
    if cells and (notebook is None or not _has_cell(saved, last)):  # what runs is not in the file, or not yet
        run.write_bytes("program.py", "\n\n".join(f"# %%\n{cell}" for cell in cells).encode())
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script and not cells and Path(script).is_file():
        run.write_bytes(f"program{Path(script).suffix or '.py'}", Path(script).read_bytes())
        _save_neighbours(run, Path(script))


def _save_neighbours(run: RunDir, program: Path) -> None:
    """What has been imported from the program's folder, with the program."""
    files = _imported(program.resolve())
    if len(files) > 1:
        run.write_bytes("code.zip", zipped(files))


def _imported(script: Path) -> dict[str, str]:
    """A script and the modules that it has imported from its own folder, by their names in it."""
    files = {script.name: str(script)}
    own = {
        Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")
    }  # may be below one's home, too
    for module in list(sys.modules.values()):
        path = Path(getattr(module, "__file__", None) or os.sep).resolve()
        if path.suffix == ".py" and script.parent in path.parents and path.is_file():
            inside = path.relative_to(script.parent)
            is_installed = bool({"site-packages", "dist-packages"} & {*path.parts} or own & {*path.parents})
            if not is_installed and len(files) < MOST_FILES:
                files[str(inside)] = str(path)
    return files


def zipped(files: Mapping[str, str]) -> bytes:
    """Files by their names in it, as a zip archive: the same files make the same one, whenever they were written."""
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
    """The notebook file of this kernel, as Jupyter (`JPY_SESSION_NAME`) and VS Code tell it."""
    names = [os.environ.get("JPY_SESSION_NAME"), getattr(sys.modules.get("__main__"), "__vsc_ipynb_file__", None)]
    for name in filter(None, names):
        path = Path(str(name))
        if path.suffix == ".ipynb" and path.is_file():
            return path
    return None


def _notebook_cells() -> tuple[list[str], str]:
    """The cells that have run, as Python, and the one that runs, as it was written."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or shell.history_manager is None:
        return [], ""
    history = shell.history_manager
    return [cell for cell in history.input_hist_parsed if cell], str(history.input_hist_raw[-1])


def _has_cell(notebook: bytes, cell: str) -> bool:
    """Whether a notebook's file has a cell with just this source; front ends save now and then only."""
    try:
        sources = ["".join(each["source"]).strip() for each in json.loads(notebook)["cells"]]
    except (ValueError, KeyError, TypeError):
        return False
    return cell.strip() in sources


def _save_environment(run: RunDir) -> None:
    installed = {
        f"{found.metadata['Name']}=={found.version}"
        for found in importlib.metadata.distributions()
        if found.metadata["Name"]
    }
    head = f"# Python {platform.python_version()} on {platform.platform()}\n"
    run.write_bytes("environment.txt", (head + "\n".join(sorted(installed, key=str.lower)) + "\n").encode())
    prefix = os.environ.get("CONDA_PREFIX")
    if prefix and Path(prefix) in (Path(sys.prefix), Path(sys.base_prefix)):
        run.write_bytes(
            "environment.yml", _output("conda", "env", "export", "--no-builds", "--prefix", prefix).encode()
        )


def _save_git(run: RunDir) -> None:
    with contextlib.suppress(FileNotFoundError, subprocess.CalledProcessError):  # no git, or no repository
        commit = _output("git", "rev-parse", "HEAD").strip()
        branch = _output("git", "rev-parse", "--abbrev-ref", "HEAD").strip()
        changed = [line[3:] for line in _output("git", "status", "--porcelain").splitlines()]
        remote = ""
        with contextlib.suppress(subprocess.CalledProcessError):
            remote = without_credentials(_output("git", "config", "--get", "remote.origin.url").strip())
        run.write_json("git.json", {"commit": commit, "branch": branch, "remote": remote, "changed": changed})


def _output(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    return done.stdout


def _save_spark(run: RunDir, spark: dict[str, Any]) -> None:
    if spark:
        run.write_json("spark.json", {**spark, "conf": redacted(spark.get("conf", {}))})
