"""The project's models: numbers that are never given twice, and versions that are there as a whole or not at all."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hopslite
from hopslite import experiment, model, tensorboard
from hopslite.errors import InvalidArguments, ModelArchiveExists, ModelExists, ModelNotFound, StoreError
from hopslite.model import Metric
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from tests.helpers.observe import PATIENCE_S
from tests.helpers.saved_models import AT_ONCE, NAMES, contents, failing, meeting, saved, stored, visible


@pytest.fixture(params=["local", "memory"])
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    url = str(tmp_path / "project") if request.param == "local" else f"memory://{uuid.uuid4().hex}"
    monkeypatch.setenv("HOPSLITE_PROJECT", url)
    return Project(url)


@pytest.fixture
def local_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOPSLITE_PROJECT", str(tmp_path / "project"))
    return Project(str(tmp_path / "project"))


class TestExport:
    def test_a_directory(self, project: Project, tmp_path: Path) -> None:
        folder = saved(tmp_path / "saved model")
        exported = model.export(str(folder), "digits", metrics={"accuracy": 0.5}, description="a first try")
        assert stored(project, "digits", 1) == contents(folder)
        found = model.get_model("digits", 1)
        assert found == exported
        assert (found.name, found.version, found.description) == ("digits", 1, "a first try")
        assert found.path == project.path("Models", "digits", "1") == str(found) == os.fspath(found)
        assert found.metrics == {"accuracy": 0.5}
        assert found.files.keys() == set(NAMES)
        assert found.files["model.pb"]["size"] == len("model.pb: one")
        assert found.size == sum(len(text.encode()) for text in contents(folder).values())
        assert found.hopslite == hopslite.__version__
        assert found.user
        assert (found.run_id, found.trial_id) == (None, None)
        assert found["metrics"]["accuracy"] == 0.5
        assert dict(found)["version"] == 1
        assert "digits" in repr(found)
        assert "accuracy=0.5" in repr(found)
        with pytest.raises(KeyError, match="a model has name, version"):
            _ = found["accuracy"]

    def test_a_file(self, project: Project, tmp_path: Path) -> None:
        (tmp_path / "iris.pkl").write_text("knn")
        exported = model.export("iris.pkl", 7)  # type: ignore[arg-type]  HopsML took numbers as names
        assert (exported.name, exported.version) == ("7", 1)
        assert stored(project, "7", 1) == {"iris.pkl": "knn"}

    def test_from_a_url_and_from_the_project(self, project: Project, tmp_path: Path) -> None:
        remote = RunDir(f"memory://{uuid.uuid4().hex}")
        remote.write_bytes("model/a/b.bin", b"remote")
        remote.write_bytes("single.bin", b"alone")
        model.export(remote.path("model"), "digits")
        model.export(remote.path("single.bin"), "digits")
        project.makedirs("Resources/old")
        project.write_bytes("Resources/old/c.bin", b"old")
        model.export("Resources/old/", "digits")
        assert stored(project, "digits", 1) == {"a/b.bin": "remote"}
        assert stored(project, "digits", 2) == {"single.bin": "alone"}
        assert stored(project, "digits", 3) == {"c.bin": "old"}

    def test_what_links_point_to_is_exported(self, local_project: Project, tmp_path: Path) -> None:
        folder = saved(tmp_path / "saved")
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "w.bin").write_text("far")
        (folder / "linked").symlink_to(tmp_path / "elsewhere")
        (folder / "variables" / "up").symlink_to(folder)  # not followed for ever
        model.export(folder, "digits")
        assert stored(local_project, "digits", 1).keys() == {*NAMES, "linked/w.bin"}

    def test_two_links_to_one_directory_are_both_exported(self, local_project: Project, tmp_path: Path) -> None:
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared" / "vocab").write_text("words")
        folder = tmp_path / "saved"
        (folder / "step-1").mkdir(parents=True)
        (folder / "step-1" / "w").write_text("weights")
        (folder / "latest").symlink_to("step-1")
        for name in ("encoder", "decoder"):
            (folder / name).symlink_to(tmp_path / "shared")
        (folder / "step-1" / "up").symlink_to(folder)
        (tmp_path / "shared" / "across").symlink_to(folder / "step-1")
        exported = model.export(folder, "links")
        assert exported.files.keys() == {
            *(f"{each}/w" for each in ("step-1", "latest", "encoder/across", "decoder/across")),
            *(f"{each}/vocab" for each in ("encoder", "decoder")),
        }

    def test_numbers_of_any_kind_are_metrics(self, project: Project, tmp_path: Path) -> None:
        given = {"a": np.float32(0.5), "b": np.int64(3), "c": np.array(2.5), "d": 1}
        exported = model.export(saved(tmp_path / "m"), "digits", metrics=given)
        assert exported.metrics == {"a": 0.5, "b": 3, "c": 2.5, "d": 1}
        assert model.get_model("digits").metrics == exported.metrics

    def test_another_project(self, project: Project, tmp_path: Path) -> None:
        model.export(saved(tmp_path / "m"), "digits", project=str(tmp_path / "other"))
        assert model.get_model("digits", 1, str(tmp_path / "other")).path == str(tmp_path / "other/Models/digits/1")
        with pytest.raises(ModelNotFound):
            model.get_model("digits", 1)

    def test_a_file_that_is_still_written(
        self, local_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = saved(tmp_path / "m")
        upload = RunDir.upload

        def slow(self: RunDir, files: Any) -> None:
            upload(self, files)
            (folder / "model.pb").write_text("longer than before")

        monkeypatch.setattr(RunDir, "upload", slow)
        with pytest.raises(StoreError, match=r"model\.pb was written to while it was exported"):
            model.export(folder, "digits")
        assert visible(local_project, "digits") == []


class TestVersions:
    def test_an_existing_one_is_refused(self, project: Project, tmp_path: Path) -> None:
        model.export(saved(tmp_path / "m"), "digits")
        with pytest.raises(ModelExists, match=r"version 1 of model 'digits' exists.*overwrite=True") as caught:
            model.export(saved(tmp_path / "n", "two"), "digits", 1)
        assert isinstance(caught.value, (ValueError, FileExistsError))
        assert (caught.value.name, caught.value.version) == ("digits", 1)
        assert stored(project, "digits", 1) == contents(tmp_path / "m")

    def test_files_of_another_program_are_not_touched(self, project: Project, tmp_path: Path) -> None:
        project.makedirs("Models/digits/4")
        project.write_bytes("Models/digits/4/theirs", b"x")
        folder = saved(tmp_path / "m")
        with pytest.raises(ModelExists, match="files that hopslite did not write"):
            model.export(folder, "digits", 4)
        assert model.export(folder, "digits").version == 5
        assert model.export(folder, "digits", 4, overwrite=True).version == 4
        assert stored(project, "digits", 4) == contents(folder)

    @pytest.mark.slow("soak")
    def test_processes_never_get_the_same(self, local_project: Project, tmp_path: Path) -> None:
        folders = [saved(tmp_path / str(each), str(each)) for each in range(AT_ONCE)]
        context = multiprocessing.get_context("spawn")
        with context.Pool(AT_ONCE, _meet, (context.Barrier(AT_ONCE),)) as pool:
            versions = pool.map(_exported, [str(folder) for folder in folders], chunksize=1)
        assert sorted(versions) == list(range(1, AT_ONCE + 1))
        for version, folder in zip(versions, folders, strict=True):
            assert stored(local_project, "digits", version) == contents(folder)


def _meet(barrier: Any) -> None:
    RunDir.list = meeting(RunDir.list, barrier)  # type: ignore[method-assign]


def _exported(folder: str) -> int:
    return model.export(folder, "digits").version


# Runs an export and dies, without any clean-up, just before the given write to the store.
DIES = """
import os, shutil, sys
from hopslite import model
from hopslite.storage.run_directory import RunDir
folder, overwrite, last = sys.argv[1], bool(int(sys.argv[2])), int(sys.argv[3])
writes = 0

def dying(owner, name):
    write = getattr(owner, name)
    def wrapped(*arguments, **keywords):
        global writes
        writes += 1
        if writes > last:
            if name == "upload":  # half of it
                write(arguments[0], dict(list(arguments[1].items())[:2]))
            os._exit(9)
        return write(*arguments, **keywords)
    setattr(owner, name, wrapped)

dying(RunDir, "upload")
dying(RunDir, "write_json")
dying(shutil, "rmtree")
model.export(folder, "digits", 1 if overwrite else None, overwrite)
"""


def dies(folder: Path, overwrite: bool, last: int) -> int:
    command = [sys.executable, "-c", DIES, str(folder), str(int(overwrite)), str(last)]
    return subprocess.run(command, timeout=PATIENCE_S, check=False).returncode


class TestKilled:
    @pytest.mark.parametrize("last", [0, 1])
    def test_an_export_leaves_no_model(self, local_project: Project, tmp_path: Path, last: int) -> None:
        assert dies(saved(tmp_path / "m"), False, last) == 9
        assert stored(local_project, "digits", 1), "it was killed before it wrote anything"
        with pytest.raises(ModelNotFound, match=r"no version of model 'digits' .* is complete"):
            model.get_model("digits")
        with pytest.raises(ModelNotFound):
            model.get_model("digits", 1)
        with pytest.raises(ModelNotFound):
            model.download_model("digits")
        folder = saved(tmp_path / "n", "two")
        with pytest.raises(ModelExists, match="was begun, and is not complete"):
            model.export(folder, "digits", 1)
        assert model.export(folder, "digits").version == 2
        assert visible(local_project, "digits") == [2]
        assert model.export(folder, "digits", 1, overwrite=True).version == 1
        assert contents(model.download_model("digits", 1)) == contents(folder)

    def test_while_it_replaces_leaves_the_old_or_the_new(self, local_project: Project, tmp_path: Path) -> None:
        old, new = saved(tmp_path / "old"), saved(tmp_path / "new", "two")
        (old / "only old").write_text("x")
        seen = []
        for last in range(20):
            model.export(old, "digits", 1, overwrite=True)
            code = dies(new, True, last)
            found = contents(model.download_model("digits", 1, overwrite=True))
            assert found in (contents(old), contents(new)), f"killed before write {last}"
            seen.append("old" if found == contents(old) else "new")
            if code == 0:
                break
        else:
            pytest.fail("the export never came to its end")
        assert seen == sorted(seen, reverse=True), "once new, it stays new"
        assert len(seen) >= 6
        assert stored(local_project, "digits", 1) == contents(new)
        left = local_project.sub("Models/digits/.records/1").list()
        assert [entry for entry in left if entry.startswith("files-")] == []


class TestFailure:
    def test_leaves_nothing_behind(self, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(RunDir, "upload", failing(RunDir.upload))
        with pytest.raises(OSError, match="no space"):
            model.export(saved(tmp_path / "m"), "digits")
        assert stored(project, "digits", 1) == {}
        assert visible(project, "digits") == []


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"model_path": "nowhere"}, "there is nothing at .*nowhere"),
            ({"model_path": "file:///no/where"}, "there is nothing at file:///no/where"),
            ({"model_path": "hollow"}, "hollow is an empty directory"),
            ({"model_path": ""}, "model_path: it is empty"),
            ({"model_path": 7}, "model_path: .*int"),
            ({"model_path": "nosuch://host/x"}, "model_path: .*nosuch"),
            ({"model_path": "runs:/digits/1"}, "no run named 'digits'"),
            ({"model_name": "a/b"}, "'a/b' has '/'"),
            ({"model_name": ".."}, "'..' begins with a dot"),
            ({"model_name": "../up"}, "'../up' has '/'"),
            ({"model_name": "a:b"}, "'a:b' has ':'"),
            ({"model_name": ""}, "the model's name is ''"),
            ({"model_name": None}, "the model's name is None"),
            ({"model_name": "x" * 300}, "300 bytes"),
            ({"model_version": 0}, "model_version=0; give a whole number from 1"),
            ({"model_version": -1}, "model_version=-1"),
            ({"model_version": 1.5}, "model_version=1.5"),
            ({"model_version": "1"}, "model_version='1'"),
            ({"model_version": True}, "model_version=True"),
            ({"metrics": [0.5]}, "metrics=.*; give a dict"),
            ({"metrics": {"a": "0.5"}}, "a='0.5'; give a finite number"),
            ({"metrics": {"a": float("nan")}}, "a=nan; give a finite number"),
            ({"metrics": {"a": float("inf")}}, "a=inf"),
            ({"metrics": {"a": True}}, "a=True"),
            ({"metrics": {1: 0.5}}, "the name 1 is not a text"),
            ({"description": 5}, "description=5; give a text"),
            ({"synchronous_timeout": -1}, "synchronous_timeout=-1"),
        ],
    )
    def test_is_refused_before_anything_is_written(
        self, local_project: Project, tmp_path: Path, arguments: dict[str, Any], message: str
    ) -> None:
        saved(tmp_path / "m")
        (tmp_path / "hollow" / "inner").mkdir(parents=True)
        with pytest.raises(InvalidArguments, match=message):
            model.export(**{"model_path": "m", "model_name": "digits", **arguments})
        assert not local_project.exists("Models")

    def test_all_problems_are_told_at_once(self, local_project: Project) -> None:
        with pytest.raises(InvalidArguments) as caught:
            model.export("nowhere", "a/b", 0, metrics={"a": None})
        assert len(caught.value.problems) == 4

    def test_what_is_no_file_is_told(self, local_project: Project, tmp_path: Path) -> None:
        folder = saved(tmp_path / "m")
        (folder / "gone").symlink_to("nowhere")
        with pytest.raises(StoreError, match="gone is not a file that can be read"):
            model.export(folder, "digits")
        assert visible(local_project, "digits") == []

    def test_of_the_others(self, local_project: Project) -> None:
        with pytest.raises(InvalidArguments, match="version=0"):
            model.get_model("digits", 0)
        with pytest.raises(InvalidArguments, match="'a/b' has '/'"):
            model.download_model("a/b")
        with pytest.raises(InvalidArguments, match="direction='up'; give"):
            model.get_best_model("digits", "accuracy", "up")


class TestFinding:
    def test_the_best(self, project: Project, tmp_path: Path) -> None:
        folder = saved(tmp_path / "m")
        for metrics in ({"acc": 0.5}, {"acc": 0.75, "loss": 2}, {"acc": 0.75}, None, {"loss": 1.0}, {"acc": 0.25}):
            model.export(folder, "digits", metrics=metrics)
        assert model.get_best_model("digits", "acc", Metric.MAX).version == 3, "of equal ones the newest"
        assert model.get_best_model("digits", "acc", Metric.MIN).version == 6
        assert model.get_best_model("digits", "loss", "min").version == 5
        assert model.get_best_model("digits", "loss", "MAX")["version"] == 2
        assert (Metric.MAX, Metric.MIN) == ("MAX", "MIN")

    def test_a_damaged_record_or_metric_is_never_the_best(self, project: Project, tmp_path: Path) -> None:
        for value in (0.5, 1.0, 2.0):
            model.export(saved(tmp_path / "m"), "digits", metrics={"acc": value})
        shelf = project.sub("Models/digits/.records")
        shelf.write_bytes("3/record.json", shelf.read_bytes("3/record.json")[:-40])
        record = {**shelf.read_json("2/record.json"), "metrics": {"acc": float("nan")}}
        shelf.write_bytes("2/record.json", json.dumps(record).encode())
        assert model.get_best_model("digits", "acc", Metric.MAX).version == 1
        with pytest.raises(ModelNotFound):
            model.get_model("digits", 3)

    def test_what_is_not_there_is_told_with_what_is(self, project: Project, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFound, match=r"no model 'digits'.*there are no others"):
            model.get_model("digits")
        folder = saved(tmp_path / "m")
        model.export(folder, "digits", metrics={"accuracy": 1, "loss": 2})
        model.export(folder, "digits")
        with pytest.raises(ModelNotFound, match=r"no version 3 in .*; versions: 2, 1$"):
            model.get_model("digits", 3)
        with pytest.raises(ModelNotFound, match=r"no model 'digit' .*did you mean 'digits'"):
            model.get_best_model("digit", "accuracy", Metric.MAX)
        with pytest.raises(ModelNotFound, match=r"no model 'xyz' .*; models: digits"):
            model.download_model("xyz", 1)
        with pytest.raises(ModelNotFound, match="metric 'f1'; metrics: accuracy, loss"):
            model.get_best_model("digits", "f1", Metric.MAX)
        with pytest.raises(ModelNotFound, match="did you mean 'accuracy'"):
            model.get_best_model("digits", "acuracy", Metric.MAX)
        assert issubclass(ModelNotFound, LookupError)


class TestDownload:
    @pytest.mark.parametrize("place", [".", "", "..", "~", "/"])
    def test_a_directory_that_holds_more_is_not_replaced(
        self, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        model.export(saved(tmp_path / "m"), "digits")
        (tmp_path / "work" / "deep").mkdir(parents=True)
        (tmp_path / "work" / "thesis.txt").write_text("mine")
        monkeypatch.setenv("HOME", str(tmp_path / "work"))
        monkeypatch.chdir(tmp_path / "work" / "deep" if place == ".." else tmp_path / "work")
        with pytest.raises(InvalidArguments, match="which has other files"):
            model.download_model("digits", local_path=os.path.expanduser(place), overwrite=True)
        assert (tmp_path / "work" / "thesis.txt").read_text() == "mine"

    def test_makes_a_copy(self, project: Project, tmp_path: Path) -> None:
        folder = saved(tmp_path / "m")
        model.export(folder, "digits")
        model.export(saved(tmp_path / "n", "two"), "digits")
        assert model.download_model("digits") == str(tmp_path / "digits" / "2")
        assert model.download_model("digits", 1, local_path="deep/er") == str(tmp_path / "deep" / "er")
        assert contents(tmp_path / "deep/er") == contents(folder)
        assert contents(tmp_path / "digits/2") == contents(tmp_path / "n")
        assert sorted(os.listdir(tmp_path / "digits")) == ["2"]

    def test_what_is_there_already_is_not_copied_again(
        self, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model.export(saved(tmp_path / "m"), "digits")
        first = model.download_model("digits")
        monkeypatch.delattr(RunDir, "download_to")
        assert model.download_model("digits") == first

    @pytest.mark.parametrize("change", ["edited", "added", "removed", "a file"])
    def test_something_else_is_replaced_only_on_demand(self, project: Project, tmp_path: Path, change: str) -> None:
        folder = saved(tmp_path / "m")
        model.export(folder, "digits")
        target = Path(model.download_model("digits"))
        if change == "edited":
            (target / "model.pb").write_text("model.pb: ONE")
        elif change == "added":
            (target / "mine").write_text("precious")
        elif change == "removed":
            (target / "model.pb").unlink()
        else:
            target = tmp_path / "file"
            target.write_text("precious")
        before = contents(target) if target.is_dir() else target.read_text()
        with pytest.raises(ModelArchiveExists, match="overwrite=True") as caught:
            model.download_model("digits", local_path=target)
        assert caught.value.path == str(target)
        assert isinstance(caught.value, FileExistsError)
        assert (contents(target) if target.is_dir() else target.read_text()) == before
        assert model.download_model("digits", overwrite=True, local_path=target) == str(target)
        assert contents(target) == contents(folder)

    @pytest.mark.parametrize("damage", ["cut", "changed", "removed"])
    def test_a_damaged_model_is_told_and_not_copied(self, project: Project, tmp_path: Path, damage: str) -> None:
        model.export(saved(tmp_path / "m"), "digits")
        (tmp_path / "keep").mkdir()
        files = project.sub("Models/digits/1")
        if damage == "removed":
            files.remove(["model.pb"])
        else:
            files.write_bytes("model.pb", b"model.pb: on" if damage == "cut" else b"model.pb: two")
        with pytest.raises(StoreError, match=r"version 1 of model 'digits' in .* is damaged: .*model\.pb"):
            model.download_model("digits", overwrite=True, local_path="keep")
        assert sorted(os.listdir(tmp_path)) == sorted({"keep", "m", *(["project"] if project.is_local else [])})
        assert os.listdir(tmp_path / "keep") == []

    def test_files_that_do_not_belong_to_it_stay_away(self, project: Project, tmp_path: Path) -> None:
        folder = saved(tmp_path / "m")
        model.export(folder, "digits")
        project.write_bytes("Models/digits/1/.model.pb.1234.tmp", b"half")
        assert contents(model.download_model("digits")) == contents(folder)


class TestOrigin:
    def test_a_training_function_links_its_trial(self, local_project: Project, tmp_path: Path) -> None:
        def train(units: int) -> float:
            folder = Path(str(tensorboard.logdir()), "weights")
            folder.mkdir()
            (folder / "w.bin").write_text(str(units))
            model.export("weights", "inside", metrics={"units": units})
            (tmp_path / "here").write_text("x")
            model.export("here", "elsewhere")
            return units

        run = experiment.grid_search(train, {"units": [3, 5]}, pool="inline", display=False)
        found = model.get_best_model("inside", "units", Metric.MAX)
        assert (found.run_id, found.trial_id) == (run.run_id, run.best_trial.id)  # type: ignore[union-attr]
        assert stored(local_project, "inside", found.version) == {"w.bin": "5"}
        assert model.get_model("elsewhere").run_id == run.run_id

    @pytest.mark.parametrize("local", [False, True])
    @pytest.mark.parametrize("args_dict", [None, {"units": [3]}])
    def test_what_a_launched_function_wrote_is_in_the_returned_logdir(
        self, local_project: Project, args_dict: Any, local: bool
    ) -> None:
        def train(units: int = 5) -> float:
            saved(f"{tensorboard.logdir()}/model", str(units))
            return units

        run = experiment.launch(train, args_dict, local_logdir=local, pool="inline", display=False)
        logdir, outputs = run
        exported = model.export(logdir + "/model", "launched")
        assert (exported.run_id, exported.trial_id) == (run.run_id, "0000")
        assert stored(local_project, "launched", exported.version)["model.pb"] == f"model.pb: {outputs['metric']}"
        assert logdir == run.trials[0].logdir == f"{run.logdir}/trials/0000"
        assert tuple(experiment.load(run.run_id)) == tuple(run)

    def test_a_path_of_a_run_links_its_trial(self, local_project: Project, tmp_path: Path) -> None:
        def train(units: int) -> float:
            saved(f"{tensorboard.logdir()}/saved", str(units))
            return units

        run = experiment.grid_search(train, {"units": [3, 5]}, name="my run", pool="inline", display=False)
        assert run.best_trial is not None
        by_path = model.export(f"{run.best_logdir}/saved", "digits")
        by_url = model.export(f"runs:/my%20run/1/trials/{run.best_trial.id}/saved", "digits")
        by_name = model.export("runs:/my run/latest/trials/0000/saved/model.pb", "digits")
        whole = model.export(run.logdir + "/.summary.json", "digits")
        for exported in (by_path, by_url):
            assert (exported.run_id, exported.trial_id) == (run.run_id, run.best_trial.id)
            assert stored(local_project, "digits", exported.version)["model.pb"] == "model.pb: 5"
        assert (by_name.trial_id, list(by_name.files)) == ("0000", ["model.pb"])
        assert (whole.run_id, whole.trial_id) == (run.run_id, None)
        assert run.run_id in repr(by_path)
