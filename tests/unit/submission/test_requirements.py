"""Requirements of programs: files that refer to files, names of frameworks, and lines that cannot work elsewhere."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest

from hopslite import cli
from hopslite.core.settings import Settings
from hopslite.errors import InvalidArguments
from hopslite.programs.command import Command
from hopslite.programs.virtual_environment import Requirements
from hopslite.submission.requirements import requirements_of, with_environment

FRAMEWORKS = {"pytorch-2.13": ("torch==2.13.0", "torchvision"), "sklearn": ("scikit-learn",)}


def read(folder: Path, **job: Any) -> Requirements | None:
    return requirements_of({"code": str(folder), **job}, str(folder), FRAMEWORKS)


def problems(folder: Path, **job: Any) -> list[str]:
    with pytest.raises(InvalidArguments) as error:
        read(folder, **job)
    return list(error.value.problems)


def test_a_program_without_any(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    assert read(tmp_path, requirements="auto") is None


def test_a_file_is_read_with_those_that_it_refers_to(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "requirements.txt").write_text(
        "# comment\nnumpy >= 1.24  # numbers\n\n-r more/base.txt\n--constraint=more/c.txt\nscipy \\\n  ==1.11 \\\n"
        "  --hash=sha256:abc\ngit+https://host/repository.git@v1#egg=x\n"
    )
    (tmp_path / "more/base.txt").write_text("-c c.txt\npandas\n")
    (tmp_path / "more/c.txt").write_text("numpy<2\n")
    made = read(tmp_path, requirements="requirements.txt")
    assert made is not None
    assert made.text.splitlines() == [
        "numpy >= 1.24",
        "-c constraints-1.txt",
        "pandas",
        "-c constraints-2.txt",
        "scipy   ==1.11   --hash=sha256:abc",
        "git+https://host/repository.git@v1#egg=x",
    ]
    assert made.files == (("constraints-1.txt", "numpy<2\n"), ("constraints-2.txt", "numpy<2\n"))
    assert made.python == ".".join(platform.python_version_tuple()[:2])


@pytest.mark.parametrize("name", ["requirements.txt", "floyd_requirements.txt"])
def test_auto_takes_the_file_of_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("tqdm\n")
    made = read(tmp_path, requirements="auto", python="3.12", framework="sklearn")
    assert made is not None
    assert (made.text, made.python) == ("tqdm\nscikit-learn\n", "3.12")
    assert made.shown == f"{name} and framework sklearn, Python 3.12"


def test_all_problems_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text(
        "-e .\nnumpy\n./package\nx @ file:///tmp/x\n--index-url https://me:secret@host/simple\n-r missing.txt\n"
        "-r r.txt\n-r https://host/r.txt\n--index-url https://${ME}:${TOKEN}@host/simple\ngit+ssh://git@host/x.git\n"
    )
    lines = problems(tmp_path, requirements="r.txt", python="3", framework="pytorch-2.12")
    assert "secret" not in "".join(lines)
    texts = [line.removeprefix(f"{tmp_path}/r.txt, ") for line in lines]
    assert [text.partition(":")[0] for text in texts[:4]] == ["line 1", "line 3", "line 4", "line 5"]
    assert "installs from a folder" in texts[0]
    assert "write ${NAME} in its place" in texts[3]
    assert f"there is no requirements file {tmp_path}/missing.txt" in lines
    assert "r.txt, line 7: r.txt refers to itself, without an end" in "".join(lines)
    assert lines[-2] == "there is no framework 'pytorch-2.12'; did you mean 'pytorch-2.13'?"
    assert lines[-1] == "python is '3'; give a version, such as 3.12"


def test_a_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    command = Command(("train.py",), (), b"")
    private = Requirements("--index-url https://${TOKEN}@host/simple\n", "3.12")
    with pytest.raises(InvalidArguments, match=r"requirements.txt refers to \$\{TOKEN\}, which is not set"):
        with_environment(command, private, print)


def test_names_of_frameworks_in_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOPSLITE_FRAMEWORKS", "not a table")
    Path("hopslite.toml").write_text('[frameworks]\n"torch-2.13" = ["torch==2.13.0"]\ntf-2.21 = "tensorflow==2.21"\n')
    assert Settings.load().frameworks == {"torch-2.13": ("torch==2.13.0",), "tf-2.21": ("tensorflow==2.21",)}
    Path("hopslite.toml").write_text("[frameworks]\ntorch = 2\n")
    with pytest.raises(InvalidArguments, match="frameworks: torch is 2; give a requirement or a list of them"):
        Settings.load()


def test_mistakes_are_seen_before_spark_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], temporary: Path, project: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.py").touch()
    assert cli.main(["run", "--requirements", "nothing.txt", "train.py"]) == 1
    assert f"there is no requirements file {tmp_path}/nothing.txt" in capfd.readouterr().err
    Path("job.yml").write_text("command: python train.py\npython: 3.12\n")
    assert cli.main(["run", "job.yml"]) == 1
    assert 'job.yml, line 2: python is 3.12; give a version in quotes, such as "3.12"' in capfd.readouterr().err
    Path("r.txt").write_text("no-such-package-of-hopslite\n")
    assert cli.main(["run", "--requirements", "r.txt", "train.py"]) == 1
    error = capfd.readouterr().err
    assert error.count("error: the environment of r.txt") == 1
    assert "no-such-package-of-hopslite was not found" in error
    assert not Path(project).exists()


def test_lines_of_frameworks_are_checked_as_those_of_files(tmp_path: Path) -> None:
    lines = {"private": ("--index-url https://me:hunter22@host/simple", "-e .", "numpy")}
    with pytest.raises(InvalidArguments) as error:
        requirements_of({"code": str(tmp_path), "framework": "private"}, str(tmp_path), lines)
    assert [problem.partition(": ")[0] for problem in error.value.problems] == ["framework private"] * 2
    assert "hunter22" not in str(error.value) and "write ${NAME} in its place" in str(error.value)
