"""The run directory and its journal, on any fsspec URL."""

from .journal import JournalReader, JournalWriter
from .rundir import Project, RunDir

__all__ = ["JournalReader", "JournalWriter", "Project", "RunDir"]
