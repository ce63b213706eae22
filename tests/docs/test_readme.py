"""The documents are true: every Python block runs, every relative link leads somewhere, conf/ says what is so."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hopslite.core.settings import Settings
from tests.helpers import ROOT

README = ROOT / "README.md"
SKIP_DIRS = {".git", "node_modules", "build", "dist", "work"}
BLOCK = re.compile(r"^(?P<indent> *)```python[^\n]*\n(?P<code>.*?)^(?P=indent)```\s*$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!--\s*not run\s*-->\s*\Z")
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^()\s]+)(?:\s+\"[^\"]*\")?\)")
FENCED = re.compile(r"^ *```.*?^ *```\s*$", re.MULTILINE | re.DOTALL)


def documents() -> list[Path]:
    """The Markdown files of the project: not those of environments and builds."""
    found = []
    for folder, names, files in os.walk(ROOT):
        names[:] = sorted(
            n for n in names if n not in SKIP_DIRS and not n.startswith((".venv", ".pytest", "hopslite_p"))
        )
        found += [Path(folder, name) for name in sorted(files) if name.endswith(".md")]
    return found


def blocks() -> list[tuple[str, str]]:
    """The Python blocks that are meant to run, each with the file and line where it starts."""
    found = []
    for path in [README, *sorted((ROOT / "docs").glob("*.md"))]:
        text = path.read_text() if path.exists() else ""
        for match in BLOCK.finditer(text):
            before = text[: match.start()]
            if not NOT_RUN.search(before):
                code = re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE)
                found.append((f"{path.relative_to(ROOT)}:{before.count(chr(10)) + 1}", code))
    return found


BLOCKS = blocks()
TRAINS = re.compile(r"\b(keras|tensorflow|torch|jax|lagom)\b")


def test_the_readme_shows_code_that_runs():
    assert any(place.startswith("README.md:") for place, _ in BLOCKS)


@pytest.mark.parametrize(
    ("place", "code"),
    [
        pytest.param(place, code, id=place, marks=[pytest.mark.slow("frameworks")] if TRAINS.search(code) else [])
        for place, code in BLOCKS
    ],
)
def test_block_runs(place, code, project, tmp_path, shared_session):
    (tmp_path / "block.py").write_text(code)
    shared_session.run(tmp_path / "block.py", tmp_path, HOPSLITE_PROJECT=project)


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path):
    text = FENCED.sub("", path.read_text())
    targets = [match["target"] for match in LINK.finditer(text)]
    local = [target.partition("#")[0] for target in targets if not re.match(r"[a-z][a-z+.-]*:|#", target)]
    missing = [target for target in local if not (path.parent / target).exists()]
    assert not missing


def test_the_example_of_hopslite_toml_shows_the_defaults(tmp_path, monkeypatch):
    shutil.copy(ROOT / "conf" / "hopslite.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("HOPSLITE_", "MLFLOW_TRACKING_URI"))]:
        monkeypatch.delenv(name)
    assert Settings.load() == Settings()
    text = (tmp_path / "hopslite.toml").read_text()
    for field in dataclasses.fields(Settings):
        shown = rf"^(# )?({field.name} = |\[{field.name}[.\]])"
        assert re.search(shown, text, re.MULTILINE), f"{field.name} is not shown"


def test_the_discovery_script_answers_as_spark_expects(tmp_path):
    """Run with a stand-in for nvidia-smi: three GPUs become three addresses."""
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\nprintf '0\\n1\\n3\\n'\n")
    smi.chmod(0o755)
    script = ROOT / "conf" / "gpu-discovery.sh"
    done = subprocess.run(
        [script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == {"name": "gpu", "addresses": ["0", "1", "3"]}
    assert os.access(script, os.X_OK)
