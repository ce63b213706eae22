"""What texts that name files refer to."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from hopslite.errors import StoreError
from hopslite.storage.project import Project
from hopslite.storage.run_uris import names_of_runs, resolve


@pytest.fixture(params=["local", "memory"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    return Project(str(tmp_path / "project") if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def new_run(project: Project, name: str) -> str:
    """The URL of a run with two trials, one of which has a model."""
    run = project.new_run(name)[2]
    run.write_json("run.json", {"name": name})
    for trial in ("0000", "0001"):
        run.makedirs(f"trials/{trial}")
        run.write_bytes(f"trials/{trial}/output.log", b"")
    run.makedirs("trials/0001/model")
    run.write_bytes("trials/0001/model/w.bin", b"w")
    return run.url


@pytest.mark.parametrize("name", ["digits", "my digits", "100%", "a=1&b=%20", "ü.1"])
def test_a_run_by_name_and_version(project: Project, name: str) -> None:
    first, second = new_run(project, name), new_run(project, name)
    new_run(project, "another")
    assert resolve(project, f"runs:/{name}/1") == first
    assert resolve(project, f"runs:/{name}/2/trials/0001/model") == f"{second}/trials/0001/model"
    assert resolve(project, f"runs:/{name}/latest/trials/0001/model/w.bin") == f"{second}/trials/0001/model/w.bin"
    assert resolve(project, f"runs:/{name}//1/./trials/") == f"{first}/trials"
    assert names_of_runs(project) == sorted(["another", name])


def test_a_name_as_it_is_in_a_url(project: Project) -> None:
    first = new_run(project, "my digits")
    assert resolve(project, "runs:/my%20digits/1") == first


def test_a_run_by_its_id(project: Project) -> None:
    first = new_run(project, "digits")
    assert resolve(project, f"runs:/{first.rpartition('/')[2]}/trials/0000") == f"{first}/trials/0000"


def test_what_is_no_reference(project: Project) -> None:
    for url in ("s3://bucket/mnist/", "/data/mnist", "file:///data/mnist", "memory://x/y"):
        assert resolve(project, url) == url
    assert resolve(project, "Resources//train.csv") == project.path("Resources", "train.csv")
    assert resolve(project, "./Resources/") == project.path("Resources")
    for path in ("../other", "Resources/../../x", "runs:/digits/1/../../x"):
        with pytest.raises(StoreError, match=r"leaves the project by '\.\.'"):
            resolve(project, path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("runs:/digit/1", r"no run named 'digit' in .*; did you mean 'digits'\?"),
        ("runs:/xyz/1", r"no run named 'xyz' in .*; names: another, digits"),
        ("runs:/", "no run named ''"),
        ("runs:/digits", r"a version is missing of run 'digits'; versions: 1, 2"),
        ("runs:/digits/3", r"there is no version '3' of run 'digits'; versions: 1, 2"),
        ("runs:/digits/newest", r"there is no version 'newest' of run 'digits'; versions: 1, 2"),
        ("runs:/digits/1/trials/0007/model", r"there is no '0007' in .*/trials; did you mean|in it: 0000, 0001"),
        ("runs:/digits/1/trials/0001/modell", r"no 'modell' in .*/trials/0001; did you mean 'model'\?"),
        ("runs:/digits/1/zzz", r"no 'zzz' in .*; in it: run.json, trials"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(project: Project, url: str, message: str) -> None:
    for name in ("digits", "digits", "another"):
        new_run(project, name)
    with pytest.raises(StoreError, match=message) as caught:
        resolve(project, url)
    assert str(caught.value).startswith(url)


def test_a_project_without_runs(project: Project) -> None:
    with pytest.raises(StoreError, match="it has no runs"):
        resolve(project, "runs:/digits/1")
