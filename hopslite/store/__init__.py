"""The run directory and its journal, on any fsspec URL."""

from .journal import JournalReader, JournalWriter, repair
from .rundir import Project, RunDir
from .snapshot import save_snapshot

__all__ = ["JournalReader", "JournalWriter", "Project", "RunDir", "repair", "save_snapshot"]
