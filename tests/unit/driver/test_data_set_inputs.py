"""`inputs={"train": "data:flowers"}`: the version is fixed when a run begins, recorded, and kept when it is resumed."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

import hopslite
from hopslite import data, experiment
from hopslite.errors import InvalidArguments, RunInterrupted, StoreError
from hopslite.storage.datasets import fetch
from hopslite.storage.datasets.fetch import fetch_into_cache
from hopslite.storage.datasets.objects import Objects
from hopslite.storage.project import Project
from tests.helpers.data_files import TREE, Interference, make_tree, read_tree


@pytest.fixture
def home(project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
    data.create("flowers")
    data.upload("flowers", make_tree(tmp_path / "tree"))
    return Project(project)


def run(train: Any, inputs: Any, **options: Any) -> experiment.Run:
    options = {"pool": "inline", "display": False, "optimization_key": "metric", **options}
    return experiment.grid_search(train, {"n": [1, 2]}, inputs=inputs, **options)


def new_version(tmp_path: Path) -> str:
    (tmp_path / "tree" / "new.txt").write_text("new")
    return str(data.upload("flowers", tmp_path / "tree"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("data:flowrs", "'train': there is no data set 'flowrs' .* did you mean 'flowers'"),
        ("data:flowers/2", "'train': version 2 .* does not exist; versions: 1"),
        ("data:flowers/two", "'two' is no version"),
        ("data:", "the data set's name is ''"),
        ("data:../x", "begins with a dot"),
    ],
)
def test_mistakes_are_said_before_anything_starts(home: Project, url: str, message: str) -> None:
    with pytest.raises(InvalidArguments, match=message):
        run(lambda n: n, {"train": url})
    assert home.runs() == []


def test_files_of_a_local_project_are_linked_and_read_only(home: Project) -> None:
    def train(n: int) -> dict[str, float]:
        path = Path(hopslite.inputs["train"], "large.bin")
        assert read_tree(hopslite.inputs["train"]) == TREE
        assert path.parent.name == "flowers-1"
        return {"metric": n, "inode": float(path.stat().st_ino), "mode": float(path.stat().st_mode & 0o777)}

    done = run(train, {"train": "data:flowers/latest"})
    inodes = {path.stat().st_ino for path in Path(home.path("Datasets/flowers/objects")).rglob("*")}
    for trial in done.trials:
        assert trial.outputs["inode"] in inodes, "copied, where a link would do"
        assert trial.outputs["mode"] == 0o444


@pytest.mark.parametrize("resume", ["id", "auto", "resume"])
def test_a_resumed_run_keeps_its_version(home: Project, tmp_path: Path, resume: str) -> None:
    def train(n: int) -> int:
        if n == 2 and not (tmp_path / "again").exists():
            (tmp_path / "again").touch()
            raise KeyboardInterrupt
        return n if sorted(read_tree(hopslite.inputs["train"])) == sorted(TREE) else -1

    inputs = {"train": "data:flowers"}
    with pytest.raises(RunInterrupted) as stopped:
        run(train, inputs)
    run_id = str(stopped.value.run_id)
    assert new_version(tmp_path) == "data:flowers/2"
    if resume == "resume":
        resumed = experiment.resume(run_id, pool="inline", display=False)
    else:
        resumed = run(train, inputs, resume=run_id if resume == "id" else "auto")
    assert resumed.run_id == run_id
    assert resumed.best_metric == 2
    assert {(use.version, use.run_id) for use in data.runs("flowers")} == {(1, run_id)}
    with pytest.raises(InvalidArguments, match="the input 'train' is another: data:flowers/1, now data:flowers/2"):
        run(train, {"train": "data:flowers/2"}, resume=run_id)
    assert run(train, inputs).run_id != run_id
    assert [use.version for use in data.runs("flowers")] == [2, 1]
    data.rm("flowers", 1)
    for again in (
        lambda: run(train, inputs, resume=run_id),
        lambda: experiment.resume(run_id, pool="inline", display=False),
    ):
        with pytest.raises(InvalidArguments, match=r"'train': version 1 .* was deleted; versions: 2"):
            again()


def test_a_version_is_not_deleted_below_a_run(home: Project, tmp_path: Path) -> None:
    refused: list[str] = []

    def train(n: int) -> int:
        if n == 1:
            for version in (1, None):
                with pytest.raises(StoreError, match=r"data:flowers/1 is used by run .*, which is running") as error:
                    data.rm("flowers", version)
                refused.append(str(error.value))
            data.rm("flowers", 1, force=True)
            for path in tmp_path.glob("hopslite-cache/*.lock"):  # as on another machine
                path.with_suffix("").rename(tmp_path / "away")
        return n

    done = run(train, {"train": "data:flowers/1"})
    assert len(refused) == 2
    assert [str(trial.state) for trial in done.trials] == ["FINISHED", "FAILED"]
    assert done.trials[1].cause == "inputs"
    assert "input 'train': version 1 of the data set 'flowers'" in str(done.trials[1].error)
    assert "was deleted" in str(done.trials[1].error)


def test_processes_that_ask_at_once_fetch_once(home: Project, monkeypatch: pytest.MonkeyPatch) -> None:

    copies: list[int] = []
    copy = fetch._copy
    monkeypatch.setattr(fetch, "_copy", lambda *arguments: (copies.append(1), copy(*arguments)))
    expected = data.get("flowers").fingerprint
    paths: list[str] = []
    threads = [
        threading.Thread(target=lambda: paths.append(fetch.fetch_into_cache(home.url, "flowers", 1, expected)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(set(paths)), len(paths), len(copies)) == (1, 4, 1)
    broken = Path(paths[0], "large.bin")
    os.chmod(broken.parent, 0o755)
    broken.unlink()
    broken.write_bytes(b"broken")
    assert read_tree(fetch.fetch_into_cache(home.url, "flowers", 1, expected)) == TREE
    with pytest.raises(StoreError, match="is not the one of this run"):
        fetch.fetch_into_cache(home.url, "flowers", 1, "0" * 64)


@pytest.mark.parametrize("store_url", ["memory", "file"], indirect=True)
def test_versions_share_what_is_in_the_cache(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPSLITE_PROJECT", store_url)
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
    data.create("flowers")
    tree = make_tree(tmp_path / "tree")
    first = data.upload("flowers", tree)
    (tree / "new.txt").write_text("new")
    (tree / "zeros.bin").unlink()
    second = data.upload("flowers", tree)
    one = fetch_into_cache(store_url, "flowers", 1, first.fingerprint)
    assert os.path.samefile(f"{one}/train/rose/1.txt", f"{one}/train/rose/2.txt"), "the same content twice"
    fetched = Interference(Objects.get, 0, lambda: None)
    local = Interference(Objects.get_file, 0, lambda: None)
    monkeypatch.setattr(Objects, "get", fetched)
    monkeypatch.setattr(Objects, "get_file", local)
    two = fetch_into_cache(store_url, "flowers", 2, second.fingerprint)
    assert fetched.calls + local.calls == 1
    assert read_tree(one) == TREE
    assert read_tree(two) == read_tree(tree)
    assert os.path.samefile(f"{one}/large.bin", f"{two}/large.bin")
    data.create("other")
    other = data.upload("other", tree)
    assert read_tree(fetch_into_cache(store_url, "other", 1, other.fingerprint)) == read_tree(tree)
