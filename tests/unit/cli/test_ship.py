"""`hopslite ship`: archives that work in another place, and environments that cannot be packed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from hopslite import cli
from tests.helpers.small_disk import small_disk

SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
Ship = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ship(capfd: pytest.CaptureFixture[str]) -> Ship:
    def ship(*arguments: object) -> tuple[int, str, str]:
        code = cli.main(["ship", *map(str, arguments)])
        out, err = capfd.readouterr()
        return code, out, err

    return ship


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A virtual environment with one module, which this interpreter takes for its own."""
    path = tmp_path / "environment"
    venv.create(path, symlinks=True)
    packages = path / SITE
    (packages / "shipped.py").write_text("VALUE = 42\n")
    (packages / "__pycache__").mkdir()
    (packages / "__pycache__/shipped.cpython.pyc").write_bytes(b"old")
    jars = packages / "pyspark/jars"
    jars.mkdir(parents=True)
    (jars / "spark.jar").write_bytes(b"jar")
    (packages / "large").mkdir()
    (packages / "large/weights").write_bytes(b"w" * 3_000_000)
    monkeypatch.setattr(sys, "prefix", str(path))
    return path


def unpacked(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="fully_trusted")
    return folder


def test_an_archive_runs_in_another_place(environment: Path, ship: Ship, tmp_path: Path) -> None:
    archive = tmp_path / "env.tar.gz"
    code, out, err = ship("-o", archive)
    assert (code, err) == (0, "")
    environment.rename(tmp_path / "gone")
    elsewhere = unpacked(archive, tmp_path / "elsewhere")
    program = "import shipped, sys; print(shipped.VALUE, sys.prefix)"
    done = subprocess.run([elsewhere / "bin/python", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["42", str(elsewhere)]
    assert not list(elsewhere.rglob("*.jar"))
    assert not (elsewhere / SITE / "__pycache__/shipped.cpython.pyc").exists()
    assert f"spark.archives  {archive}#environment" in out
    assert "export PYSPARK_PYTHON=./environment/bin/python" in out
    assert f"addArtifacts('{archive}#environment', archive=True)" in out
    assert "every machine needs Python" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "env.tar.gz", "gone"]


def test_the_same_environment_makes_the_same_archive(environment: Path, ship: Ship, tmp_path: Path) -> None:
    archive = tmp_path / "env.tar.gz"
    assert ship("-o", archive)[0] == 0
    first = archive.read_bytes()
    os.utime(archive, (0, 0))
    assert ship("-o", archive)[::2] == (1, f"error: {archive} is there already; --force replaces it\n")
    (environment / SITE / "__pycache__/other.pyc").write_bytes(b"new")
    assert ship("-o", archive, "--force")[0] == 0
    assert archive.stat().st_mtime > 0
    assert archive.read_bytes() == first


def test_python_in_another_place_on_the_cluster(environment: Path, ship: Ship, tmp_path: Path) -> None:
    archive = tmp_path / "env.tar.gz"
    code, out, _ = ship("-o", archive, "--python-prefix", "/opt/python/", "--exclude", "*/large/*")
    python = f"/opt/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    assert (code, f"at {python} " in out) == (0, True)
    with tarfile.open(archive) as tar:
        links = {member.linkname for member in tar if member.issym() and member.name.startswith("bin/py")}
        assert {link for link in links if os.path.isabs(link)} == {python}
        assert f"{SITE}/large/weights" not in tar.getnames()
    with tarfile.open(archive) as tar:
        tar.extract("pyvenv.cfg", tmp_path, filter="fully_trusted")  # the last one of this name
    assert "home = /opt/python/bin\n" in (tmp_path / "pyvenv.cfg").read_text()


def test_packages_that_are_elsewhere_are_named(environment: Path, ship: Ship, tmp_path: Path) -> None:
    information = environment / SITE / "mine-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    origin = {"url": "file:///home/me/mine", "dir_info": {"editable": True}}
    (information / "direct_url.json").write_text(json.dumps(origin))
    configuration = environment / "pyvenv.cfg"
    configuration.write_text(configuration.read_text().replace("packages = false", "packages = true"))
    code, out, err = ship("-o", tmp_path / "env.tar.gz")
    assert (code, out) == (1, "")
    assert "mine is editable, so that its files are in /home/me/mine" in err
    assert "pip install --no-deps /home/me/mine" in err
    assert "--system-site-packages" in err
    assert not (tmp_path / "env.tar.gz").exists()


def test_an_interpreter_without_an_environment(ship: Ship, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    code, _, err = ship("-o", tmp_path / "env.tar.gz")
    assert (code, err.count("\n")) == (1, 1)
    assert "is in no virtual environment and in no conda environment: make one for the cluster: uv venv" in err


def test_without_the_libraries_the_extra_is_named(ship: Ship, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "venv_pack", None)
    code, _, err = ship()
    assert (code, 'pip install "hopslite[ship]"' in err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "env.zip"], "give a name that ends in .tar.gz"),
        (["--python-prefix", "usr"], "usr: give an absolute path, such as /usr"),
        (["-o", "/no/such/env.tar.gz"], "/no/such is no folder; make it first"),
    ],
)
def test_wrong_options(environment: Path, ship: Ship, arguments: list[str], words: str) -> None:
    code, _, err = ship(*arguments)
    assert (code in (1, 2), words in err) == (True, True), err


def test_a_full_disk_leaves_the_archive_that_was_there(environment: Path, ship: Ship, tmp_path: Path) -> None:
    (environment / SITE / "large/weights").write_bytes(os.urandom(3_000_000))
    with small_disk(tmp_path / "small", "size=1m") as disk:
        archive = disk.path / "env.tar.gz"
        archive.write_bytes(b"before")
        code, _, err = ship("-o", archive, "--force")
        assert (code, "No space left" in err, err.count("\n")) == (1, True, 1)
        assert [(path.name, path.read_bytes()) for path in disk.path.iterdir()] == [("env.tar.gz", b"before")]


def test_a_large_environment_is_warned_of(
    environment: Path, ship: Ship, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopslite.cli.ship.LARGE", 1_000_000)
    _, _, err = ship("-o", tmp_path / "env.tar.gz")
    assert "when unpacked, which each executor fetches" in err
    assert "The largest: large (3.0 MB)" in err


def test_a_conda_environment_brings_its_python(ship: Ship, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = tmp_path / "conda environment"
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / "conda-meta/history").touch()
    record = {"name": "python", "version": "3", "url": "", "files": ["bin/tool"], "link": None}
    (prefix / "conda-meta/python-3.json").write_text(json.dumps(record))
    (prefix / "bin").mkdir()
    (prefix / "bin/tool").write_text(f"#!{prefix}/bin/python\n")
    (prefix / SITE).mkdir(parents=True)
    (prefix / SITE / "shipped.py").write_text("VALUE = 42\n")
    monkeypatch.setattr(sys, "prefix", str(prefix))
    archive = tmp_path / "env.tar.gz"
    assert ship("-o", archive, "--python-prefix", "/usr")[0] == 2
    code, out, err = ship("-o", archive)
    assert (code, err, "every machine needs" in out) == (0, "", False)
    with tarfile.open(archive) as tar:
        assert {f"{SITE}/shipped.py", "bin/tool", "bin/conda-unpack"} <= set(tar.getnames())
