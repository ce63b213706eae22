"""What models promise, on every kind of store: numbers that are never given twice, versions seen as a whole."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from hopslite import model
from hopslite.errors import ModelExists, ModelNotFound, StoreError
from hopslite.storage.driver_lease import claim
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from tests.helpers.saved_models import (
    AT_ONCE,
    at_once,
    contents,
    failing,
    looking,
    meeting,
    saved,
    stored,
    stored_at,
    visible,
)


@pytest.fixture
def project(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOPSLITE_PROJECT", store_url)
    return Project(store_url)


def test_a_model_comes_back_as_it_was(project: Project, tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    exported = model.export(folder, "digits 100%", metrics={"accuracy": 0.5})
    assert exported.path == project.path("Models", "digits 100%", "1")
    assert stored(project, "digits 100%", 1) == contents(folder)
    assert model.get_best_model("digits 100%", "accuracy", "max") == exported
    assert contents(model.download_model("digits 100%")) == contents(folder)
    with pytest.raises(ModelNotFound, match="did you mean 'digits 100%'"):
        model.get_model("digits 10%")


def test_from_the_store_itself(project: Project) -> None:
    project.makedirs("Resources/old")
    project.write_bytes("Resources/old/c.bin", b"old")
    assert stored(project, "digits", model.export("Resources/old", "digits").version) == {"c.bin": "old"}
    assert list(model.export(project.path("Resources/old/c.bin"), "digits").files) == ["c.bin"]


class TestVersions:
    def test_are_the_next_after_all_that_were_ever_begun(self, project: Project, tmp_path: Path) -> None:
        folder = saved(tmp_path / "m")
        assert [model.export(folder, "digits").version for _ in range(2)] == [1, 2]
        assert model.export(folder, "digits", 7).version == 7
        assert model.export(folder, "digits").version == 8
        assert model.export(folder, "digits", 3).version == 3
        assert model.export(folder, "digits").version == 9
        assert model.export(folder, "other").version == 1
        assert model.get_model("digits").version == 9
        assert visible(project, "digits") == [9, 8, 7, 3, 2, 1]

    def test_threads_never_get_the_same(
        self, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folders = [saved(tmp_path / str(each), str(each)) for each in range(AT_ONCE)]
        monkeypatch.setattr(RunDir, "list", meeting(RunDir.list, threading.Barrier(AT_ONCE)))
        found: dict[int, str] = {}

        def work(folder: Path) -> None:
            found[model.export(folder, "digits").version] = folder.name

        at_once(work, folders)
        monkeypatch.undo()
        assert sorted(found) == list(range(1, AT_ONCE + 1))
        for version, name in found.items():
            assert stored(project, "digits", version) == contents(tmp_path / name)

    def test_only_one_of_several_gets_the_number_it_asks_for(
        self, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folders = [saved(tmp_path / str(each), str(each)) for each in range(AT_ONCE)]
        monkeypatch.setattr(RunDir, "makedirs", meeting(RunDir.makedirs, threading.Barrier(AT_ONCE)))
        won: list[Path] = []
        refused: list[ModelExists] = []

        def work(folder: Path) -> None:
            try:
                model.export(folder, "digits", 5)
                won.append(folder)
            except ModelExists as error:
                refused.append(error)

        at_once(work, folders)
        assert (len(won), len(refused)) == (1, AT_ONCE - 1)
        assert stored(project, "digits", 5) == contents(won[0])


class TestReplacing:
    def test_all_files_are_the_new_ones(self, project: Project, tmp_path: Path) -> None:
        old, new = saved(tmp_path / "old"), saved(tmp_path / "new", "two")
        (old / "only old").write_text("x")
        model.export(old, "digits", metrics={"accuracy": 0.5})
        replaced = model.export(new, "digits", 1, overwrite=True, metrics={"accuracy": 0.75})
        assert stored(project, "digits", 1) == contents(new)
        assert model.get_model("digits", 1) == replaced
        assert replaced.metrics == {"accuracy": 0.75}
        assert visible(project, "digits") == [1]
        assert sum("files-" in each for each in project.sub("Models/digits").sizes()) == 0

    def test_readers_see_the_old_or_the_new(
        self, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old, new = saved(tmp_path / "old"), saved(tmp_path / "new", "two")
        (old / "only old").write_text("x")
        model.export(old, "digits")
        seen = []

        def look() -> None:
            target = tmp_path / f"seen-{len(seen)}"
            seen.append(contents(model.download_model("digits", 1, local_path=target)))

        for name in ("upload", "write_json", "remove"):
            monkeypatch.setattr(RunDir, name, looking(getattr(RunDir, name), look))
        model.export(new, "digits", 1, overwrite=True)
        monkeypatch.undo()
        assert len(seen) >= 8
        first = seen.index(contents(new))
        assert seen == [contents(old)] * first + [contents(new)] * (len(seen) - first)
        assert first > 0

    def test_a_failure_leaves_the_old(self, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        old = saved(tmp_path / "old")
        model.export(old, "digits")
        monkeypatch.setattr(RunDir, "upload", failing(RunDir.upload))
        with pytest.raises(OSError, match="no space"):
            model.export(saved(tmp_path / "new", "two"), "digits", 1, overwrite=True)
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        assert contents(model.download_model("digits", 1, project.url)) == contents(old)
        assert sum("files-" in each for each in project.sub("Models/digits").sizes()) == 0

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("Models/old/1", {"weights", "deep/weights"}),
            ("Models/old", {"weights", "deep/weights"}),
            ("Models/old/1/deep", {"deep/weights"}),
            ("Models/old/1/weights", {"weights"}),
        ],
    )
    def test_what_is_replaced_may_be_what_is_exported(self, project: Project, given: str, kept: set[str]) -> None:
        for name in ("weights", "deep/weights"):
            project.makedirs(os.path.dirname(f"Models/old/1/{name}"))
            project.write_bytes(f"Models/old/1/{name}", name.encode())
        exported = model.export(given, "old", 1, overwrite=True)
        found = stored(project, "old", 1)
        assert found.keys() == exported.files.keys()
        assert {content for name, content in found.items() if name.endswith("weights")} == kept

    def test_its_metrics_may_be_changed(self, project: Project, tmp_path: Path) -> None:
        folder = saved(tmp_path / "m")
        first = model.export(folder, "digits", metrics={"accuracy": 0.5})
        again = model.export(first.path, "digits", 1, overwrite=True, metrics={"accuracy": 0.75})
        assert again.metrics == {"accuracy": 0.75}
        assert again.files == first.files
        assert stored(project, "digits", 1) == contents(folder)

    @pytest.mark.parametrize("is_exported", [True, False])
    def test_its_only_copy_is_there_at_every_moment(
        self, project: Project, monkeypatch: pytest.MonkeyPatch, is_exported: bool
    ) -> None:
        wanted = {name: name for name in ("a", "b")}
        project.makedirs("Models/old/1")
        for name in wanted:
            project.write_bytes(f"Models/old/1/{name}", name.encode())
        if is_exported:
            model.export("Models/old/1", "old", 1, overwrite=True)
        seen: list[bool] = []

        def look() -> None:
            folders = {os.path.dirname(each) for each in project.sub("Models").sizes()}
            found = [stored_at(project.sub("Models", each)) for each in folders]
            seen.append(wanted in found)

        for name in ("upload", "write_json"):
            monkeypatch.setattr(RunDir, name, looking(getattr(RunDir, name), look))
        model.export("Models/old/1", "old", 1, overwrite=True)
        monkeypatch.undo()
        assert len(seen) >= 8
        assert all(seen)

    def test_it_may_be_exported_by_way_of_a_link(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        project = Project(str(tmp_path / "project"))
        target = saved(tmp_path / "project/Models/digits/1")
        wanted = contents(target)
        (tmp_path / "link").symlink_to(target.parent)
        model.export(tmp_path / "link" / "1", "digits", 1, overwrite=True, project=project.url)
        assert stored(project, "digits", 1) == wanted

    def test_a_version_that_is_a_link_leaves_what_it_leads_to(self, tmp_path: Path) -> None:
        project = Project(str(tmp_path / "project"))
        old, new = saved(tmp_path / "old"), saved(tmp_path / "new", "two")
        wanted = contents(old)
        project.makedirs("Models/digits")
        Path(project.path("Models/digits/1")).symlink_to(old)
        model.export(new, "digits", 1, overwrite=True, project=project.url)
        assert stored(project, "digits", 1) == contents(new)
        assert contents(old) == wanted

    def test_a_version_may_have_been_a_file(self, tmp_path: Path) -> None:
        project = Project(str(tmp_path / "project"))
        project.makedirs("Models/old")
        project.write_bytes("Models/old/1", b"weights")
        model.export("Models/old/1", "old", 1, overwrite=True, project=project.url)
        assert stored(project, "old", 1) == {"1": "weights"}

    def test_two_at_once_are_not_possible(self, project: Project, tmp_path: Path) -> None:
        folder = saved(tmp_path / "m")
        model.export(folder, "digits")
        session = claim(project.sub("Models/digits/.records/1"))
        try:
            with pytest.raises(StoreError, match=f"just being written by process {os.getpid()} "):
                model.export(folder, "digits", 1, overwrite=True)
        finally:
            session.release()
        assert model.export(folder, "digits", 1, overwrite=True).version == 1

    def test_a_download_that_meets_it_gets_the_new(
        self, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old, new = saved(tmp_path / "old"), saved(tmp_path / "new", "two")
        model.export(old, "digits")
        download_to = RunDir.download_to
        calls = []

        def meets(self: RunDir, folder: str) -> None:
            if not calls:
                calls.append(self)
                model.export(new, "digits", 1, overwrite=True)
            download_to(self, folder)

        monkeypatch.setattr(RunDir, "download_to", meets)
        assert contents(model.download_model("digits")) == contents(new)
