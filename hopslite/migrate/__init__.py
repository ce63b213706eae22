"""Rewriting programs for HopsML and Maggy: their imports, and the lines that a person has to look at."""

from ._files import FileReport, examine, python_files, save
from ._findings import Finding, Kind

__all__ = ["FileReport", "Finding", "Kind", "examine", "python_files", "save"]
