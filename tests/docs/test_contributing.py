"""What contributors are told is so: paths, commands, hooks and the form of changelog fragments."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.helpers import ROOT

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
INVENTED = ("NAME.py", "some_name.py", "spiral.py")
PATHS = set(re.findall(r"`((?:hopslite|tests|docs)/(?:[\w./]*))`", CONTRIBUTING))
PATHS = {path for path in PATHS if not path.endswith(INVENTED)}
FORM = re.compile(r"[\w+.-]+\.(added|changed|deprecated|removed|fixed|security)\.md")


@pytest.mark.parametrize("path", sorted(PATHS))
def test_path_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_table_of_changes_has_twenty_rows() -> None:
    table = CONTRIBUTING.partition("| to change | look at |")[2].partition("\n\n")[0]
    assert len(table.strip().splitlines()) - 1 >= 20


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"\bmake ([a-z][a-z-]*)", CONTRIBUTING))
    defined = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert targets
    assert targets <= defined


def test_hooks_are_what_make_lint_runs() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    [repository] = config["repos"]
    assert repository["repo"] == "local"
    entries = [hook["entry"] for hook in repository["hooks"] if "stages" not in hook]
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert lint is not None
    assert entries == [line.strip().replace("$(VENV)", ".venv") for line in lint[1].splitlines()]


@pytest.mark.slow("documentation")
def test_fragments_have_a_kind_and_make_a_changelog(tmp_path: Path) -> None:
    for fragment in (ROOT / "changelog.d").iterdir():
        assert fragment.name == "README.md" or FORM.fullmatch(fragment.name), fragment.name
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "changelog.d").mkdir()
    (tmp_path / "changelog.d/+a-slot.fixed.md").write_text("A slot is replaced.\n")
    towncrier = Path(sys.executable).with_name("towncrier")
    command = [str(towncrier), "build", "--yes", "--version", "9.9.9", "--date", "2030-01-01"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    text = (tmp_path / "CHANGELOG.md").read_text()
    assert "A slot is replaced." in text, done.stderr
    before = (ROOT / "CHANGELOG.md").read_text().partition("<!-- releases -->\n")
    head, mark, rest = text.partition("<!-- releases -->\n")
    assert (head, mark) == before[:2]
    assert rest.lstrip().startswith("## 9.9.9 (2030-01-01)\n")
    assert rest.endswith(before[2].lstrip())


def test_modules_are_as_short_as_the_style_asks() -> None:
    [most] = map(int, re.findall(r"modules at most (\d+)", CONTRIBUTING))
    reference = {"experiment.py", "hdfs.py", "plots.py"}  # pages of the reference: docs/architecture.md says why
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / "hopslite").rglob("*.py")}
    assert {path.name: length for path, length in lengths.items() if length > most}.keys() == reference
