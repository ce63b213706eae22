"""axe-core in a page: violations of WCAG 2 A and AA, as it finds them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.helpers.stores import CACHE, Unavailable

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE_VERSION = "4.11.0"
MEMBER = "package/axe.min.js"
RUN = """
async () => {
  const run = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], resultTypes: ["violations"] };
  const { violations } = await window.axe.run(document, run);
  const line = (id, { target, html }) => `${id}: ${target} ${html.slice(0, 160)}`;
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => line(id, node)));
}
"""


def violations(page: Page) -> list[str]:
    """Rule, place and markup of each element of a page that violates one."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe().read_text(encoding="utf-8"))
    lines: list[Any] = page.evaluate(RUN)
    return [str(line) for line in lines]


def axe() -> Path:
    """axe-core's script, fetched by npm once for this checkout.

    Raises:
        Unavailable: it cannot be fetched.
    """
    script = CACHE / f"axe-core-{AXE_VERSION}.js"
    if script.is_file():
        return script
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("axe-core is fetched by npm, and there is no npm")
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        command = [npm, "pack", "--silent", f"axe-core@{AXE_VERSION}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or not archives:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise Unavailable(f"axe-core cannot be fetched (npm pack axe-core): {last}")
        with tarfile.open(archives[0]) as archive:
            source = archive.extractfile(MEMBER)
            assert source is not None
            (Path(folder) / "axe.js").write_bytes(source.read())
        with contextlib.suppress(OSError):
            (Path(folder) / "axe.js").replace(script)
    return script
