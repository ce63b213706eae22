"""The project directory, which holds runs and the versions of their names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..errors import StoreError
from .free_space import try_to_write
from .local_io import nearest_existing
from .naming import folder_of_name, new_run_id
from .run_directory import AT_ONCE, RunDir

__all__ = ["Project"]


class Project(RunDir):
    """Project directory, which holds runs below `Experiments/`."""

    def new_run(self, name: str) -> tuple[str, int, RunDir]:
        """Create the directory of a new run: a new run id and the next version of `name`.

        Safe against other drivers: a version is claimed by creating a file that must not exist.

        Raises:
            StoreError: the project cannot be written.
        """
        try:
            self.makedirs("Experiments")
            run_id = new_run_id()
            run = self.sub("Experiments", run_id)
            run.makedirs(exist_ok=False)
            with contextlib.ExitStack() as undo:
                undo.callback(run._remove_if_empty)
                version = self.claim_version(name, run_id)
                undo.pop_all()
            return run_id, version, run
        except (OSError, ValueError) as error:
            raise StoreError(
                f"the project directory {self.shown} cannot be written ({error}); choose another with project=, "
                "HOPSLITE_PROJECT or hopslite.toml"
            ) from error

    def claim_version(self, name: str, run_id: str) -> int:
        """Claim the next version of a name for a run."""
        folder = f"Experiments/.versions/{folder_of_name(name)}"
        self.makedirs(folder)
        taken = [int(entry) for entry in self.list(folder) if entry.isdigit()]
        version = max(taken, default=0) + 1
        while not self.create(f"{folder}/{version}", run_id.encode()):
            version += 1
        return version

    def runs_named(self, name: str) -> Iterator[str]:
        """Ids of the runs of a name, the newest first, read a few at a time."""
        folder = f"Experiments/.versions/{folder_of_name(name)}"
        versions = sorted((int(entry) for entry in self.list(folder) if entry.isdecimal()), reverse=True)
        for first in range(0, len(versions), AT_ONCE):
            contents = self.read_many([f"{folder}/{version}" for version in versions[first : first + AT_ONCE]])
            yield from (run_id for content in contents if (run_id := (content or b"").decode(errors="replace").strip()))

    def check_writable(self) -> list[str]:
        """Problems that prevent runs from being recorded here; leaves nothing behind on a local disk.

        A local folder that is missing is not created for a check: of two drivers that begin at once, one would remove
        it while the other needs it.
        """
        try:
            if self.is_local:
                try_to_write(nearest_existing(self._root))
            else:
                self.makedirs()
                self.try_to_write()
        except (OSError, ValueError) as error:
            return [f"the project directory {self.shown} cannot be written: {error}"]
        return []

    def run(self, run_id: str) -> RunDir:
        """Directory of an existing run."""
        run = self.sub("Experiments", run_id)
        if not run.exists("run.json"):
            raise StoreError(
                f"there is no run {run_id!r} in {self.shown}; runs: {', '.join(self.runs()[-5:]) or 'none'}"
            )
        return run

    def runs(self) -> list[str]:
        """All run ids, the oldest first. Names with a dot are files of others."""
        return [entry for entry in self.list("Experiments") if "." not in entry]
