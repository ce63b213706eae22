"""What data sets promise, on every kind of store: versions seen as a whole, content stored once, uploads that go on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import hopslite
from hopslite import data, experiment
from hopslite.errors import DataSetNotFound
from hopslite.storage.datasets import objects
from hopslite.storage.datasets.dataset import DataSet
from hopslite.storage.datasets.objects import Objects
from hopslite.storage.project import Project
from tests.helpers.data_files import SMALL_PIECE, TREE, Interference, make_tree, read_tree, stored_objects

STORES = ["memory", "file", "s3", "hdfs_server", "gs", "azure"]
pytestmark = pytest.mark.parametrize("store_url", STORES, indirect=True)


@pytest.fixture
def project(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOPSLITE_PROJECT", store_url)
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
    monkeypatch.setattr(objects, "PIECE", SMALL_PIECE)
    data.create("flowers 100%")
    return Project(store_url)


@pytest.mark.slow("stores")
def test_versions_share_content_and_go_one_by_one(project: Project, tmp_path: Path) -> None:
    first = data.upload("flowers 100%", make_tree(tmp_path / "a"))
    assert (first.version, first.num_files, first.size) == (1, len(TREE), sum(map(len, TREE.values())))
    assert first.classes == {"train": {"rose": 2, "tulip": 1}}
    assert read_tree(data.download(str(first))) == TREE
    before = stored_objects(project, "flowers 100%")
    more = make_tree(tmp_path / "b", {**TREE, "more.txt": b"more"})
    assert str(data.upload("flowers 100%", more)) == "data:flowers 100%/2"
    assert len(stored_objects(project, "flowers 100%")) == len(before) + 1
    assert [version.version for version in data.versions("flowers 100%")] == [2, 1]

    data.rm("flowers 100%", 2)
    assert stored_objects(project, "flowers 100%") == before
    with pytest.raises(DataSetNotFound, match=r"version 2 .* was deleted; versions: 1"):
        data.get("flowers 100%/2")
    assert read_tree(data.download("flowers 100%", local_path="again")) == TREE
    assert data.upload("flowers 100%", more).version == 3

    data.rm("flowers 100%")
    assert data.ls() == []
    assert stored_objects(project, "flowers 100%") == []
    data.create("flowers 100%")
    assert data.upload("flowers 100%", more).version == 4, "a number was used again"


@pytest.mark.slow("stores")
def test_an_interrupted_upload_goes_on(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make_tree(tmp_path / "a", {"large.bin": b"".join(bytes([n]) * SMALL_PIECE for n in range(40))})
    make_tree(tree, {f"{n}.txt": b"%d" % n for n in range(40)})

    def end() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Objects, "put", Interference(Objects.put, 20, end))
        with pytest.raises(KeyboardInterrupt):
            data.upload("flowers 100%", tree)
    assert data.versions("flowers 100%") == []
    there = len(stored_objects(project, "flowers 100%"))
    assert there >= 10  # other threads had not put theirs in place
    data.create("other")
    data.upload("other", tree)
    everything = len(stored_objects(project, "other"))
    put = Interference(Objects.put, 0, end)
    monkeypatch.setattr(Objects, "put", put)
    assert data.upload("flowers 100%", tree).version == 1
    assert put.calls == everything - there
    assert read_tree(data.download("flowers 100%")) == read_tree(tree)


@pytest.mark.slow("stores")
def test_uploads_at_once_get_different_numbers(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = [make_tree(tmp_path / str(n), {**TREE, "number.txt": b"%d" % n}) for n in range(4)]
    versions: dict[int, Path] = {}
    barrier, numbers, met = threading.Barrier(4), DataSet.numbers, threading.local()

    def meeting(self: DataSet) -> list[int]:
        taken = numbers(self)
        if not hasattr(met, "once"):
            met.once = barrier.wait(60)  # all have seen the same numbers
        return taken

    monkeypatch.setattr(DataSet, "numbers", meeting)

    def work(tree: Path) -> None:
        versions[data.upload("flowers 100%", tree).version] = tree

    threads = [threading.Thread(target=work, args=(tree,)) for tree in trees]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.setattr(DataSet, "numbers", numbers)
    assert sorted(versions) == [1, 2, 3, 4]
    for version, tree in versions.items():
        assert read_tree(data.download("flowers 100%", version)) == read_tree(tree)


@pytest.mark.slow("stores")
def test_trials_find_the_files_under_their_names(project: Project, tmp_path: Path) -> None:
    data.upload("flowers 100%", make_tree(tmp_path / "a"))

    def train(n: int) -> dict[str, Any]:
        folder = hopslite.inputs["train"]
        return {"metric": n, "is_same": float(read_tree(folder) == TREE), "place": float(Path(folder).stat().st_ino)}

    run = experiment.grid_search(
        train,
        {"n": [1, 2]},
        inputs={"train": "data:flowers 100%"},
        project=project.url,
        pool="inline",
        display=False,
        optimization_key="metric",
    )
    assert [trial.outputs["is_same"] for trial in run.trials] == [1, 1]
    assert len({trial.outputs["place"] for trial in run.trials}) == 1, "fetched twice"
    record = project.run(run.run_id).read_json("run.json")["inputs"]["train"]
    assert (record["url"], record["requested"]) == ("data:flowers 100%/1", "data:flowers 100%")
    assert [(use.run_id, use.version) for use in data.runs("flowers 100%")] == [(run.run_id, 1)]
