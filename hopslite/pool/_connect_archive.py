"""hopslite itself as a file of a Spark Connect session, for executors that lack it."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from .. import __file__ as package_file
from .. import __version__
from ..storage.snapshot import zipped

__all__ = ["add_hopslite"]

LEFT_OUT = ("__pycache__", "dashboard", "templates")  # nothing that a trial uses


def add_hopslite(session: Any) -> str:
    """Send the installed hopslite to the executors of a session, and return the archive's name."""
    package = Path(package_file).parent
    files = {
        path.relative_to(package.parent).as_posix(): str(path)
        for path in package.rglob("*")
        if path.is_file() and path.relative_to(package).parts[0] not in LEFT_OUT and "__pycache__" not in path.parts
    }
    content = zipped(files)
    # with a digest, as a session takes a name only once
    name = f"hopslite-{__version__}-{hashlib.sha256(content).hexdigest()[:12]}.zip"
    with tempfile.TemporaryDirectory(prefix="hopslite-") as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        session.addArtifacts(str(path), pyfile=True)
    return name
