"""Models for tests: what is exported, what came of it, and stores with somebody who interferes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hopslite.storage import model_versions
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir

NAMES = ("model.pb", "variables/data 00=1&2%.bin", "variables/ü.index", ".hidden", "empty")
AT_ONCE = 8


def saved(folder: Path | str, content: str = "one") -> Path:
    """A model as a framework saves it: a directory with folders."""
    for name in NAMES:
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if name == "empty" else f"{name}: {content}")
    return Path(folder)


def contents(folder: Path | str) -> dict[str, str]:
    """The files of a local directory by name."""
    paths = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def stored(project: Project, name: str, version: int) -> dict[str, str]:
    return stored_at(project.sub("Models", name, str(version)))


def stored_at(folder: RunDir) -> dict[str, str]:
    return {name: folder.read_bytes(name).decode() for name in folder.sizes() if name}


def visible(project: Project, name: str) -> list[int]:
    return [record["version"] for record in model_versions.Models(project).records(name)]


def at_once(work: Callable[[Path], None], folders: list[Path]) -> None:
    threads = [threading.Thread(target=work, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def meeting(method: Callable[..., Any], barrier: Any) -> Callable[..., Any]:
    """A method of a store after whose first use for versions all callers wait for each other."""

    def wrapped(self: RunDir, name: str = "", *arguments: Any, **keywords: Any) -> Any:
        done = method(self, name, *arguments, **keywords)
        if name.startswith(".records"):
            with contextlib.suppress(threading.BrokenBarrierError):  # those who come a second time
                barrier.wait(60)
            barrier.abort()
        return done

    return wrapped


def looking(write: Callable[..., Any], look: Callable[[], None]) -> Callable[..., Any]:
    """A write to the store with somebody who looks before and after it."""

    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        look()
        done = write(*arguments, **keywords)
        look()
        return done

    return wrapped


def failing(upload: Callable[..., Any]) -> Callable[..., None]:
    def wrapped(self: RunDir, files: dict[str, str]) -> None:
        upload(self, dict(list(files.items())[:2]))
        raise OSError(28, "no space")

    return wrapped
