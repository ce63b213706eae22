"""`inputs=`: checked before anything starts, found in the trial under its name, the same for all trials of a run."""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import secrets
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import hopslite
from hopslite import experiment
from hopslite.driver.input_lookup import find_inputs
from hopslite.errors import InvalidArguments, ResumeError, RunInterrupted, TrialFailed
from hopslite.storage.project import Project


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "spark").mkdir()
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path / "spark"))


@pytest.fixture
def home(store_url: str) -> Project:
    project = Project(store_url)
    project.makedirs("Resources/d")
    project.write_bytes("Resources/d/a b.txt", b"a")
    project.write_bytes("Resources/one.txt", b"one")
    return project


def run(home: Project, train: Any, inputs: Any, **options: Any) -> experiment.Run:
    options |= {"project": home.url, "pool": "inline", "display": False, "optimization_key": "metric"}
    return experiment.grid_search(train, {"n": [1, 2]}, inputs=inputs, **options)


def test_a_trial_finds_what_it_was_given(home: Project, tmp_path: Path) -> None:
    (tmp_path / "packed").write_text("packed")
    with tarfile.open(tmp_path / "words.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "packed", "deep/words.txt")
    home.upload({str(tmp_path / "words.tar.gz"): "Resources/words.tar.gz"})

    def train(n: int) -> dict[str, Any]:
        given = hopslite.inputs
        assert repr(given) == f"inputs({dict(given)})"
        return {
            "metric": n,
            "one": Path(given["one"]).read_text(),
            "folder": (Path(given["folder"]) / "a b.txt").read_text(),
            "words": (Path(given["words"]) / "deep" / "words.txt").read_text(),
            "local": Path(given["local"]).read_text(),
            "place": os.stat(given["words"]).st_ino,
        }

    result = run(
        home,
        train,
        {
            "one": "Resources/one.txt",
            "folder": home.path("Resources/d/"),
            "words": "Resources/words.tar.gz",
            "local": f"file://{tmp_path / 'packed'}",
        },
    )
    for outputs in [trial.outputs or {} for trial in result.trials]:
        assert [outputs[name] for name in ("one", "folder", "words", "local")] == ["one", "a", "packed", "packed"]
    assert len({(trial.outputs or {})["place"] for trial in result.trials}) == 1
    assert home.run(result.run_id).read_json("run.json")["inputs"]["one"]["url"] == home.path("Resources/one.txt")


def test_what_an_earlier_run_has_left(home: Project) -> None:
    def train(n: int) -> int:
        Path(os.fspath(hopslite.tensorboard.logdir() or ""), "left.txt").write_text(str(n))
        return n

    def reads(n: int) -> int:
        return n * int(Path(hopslite.inputs["before"], "left.txt").read_text())

    run(home, train, None)
    assert run(home, reads, {"before": "runs:/no-name/1/trials/0001"}).best_metric == 4


def test_outside_of_a_trial_there_are_none() -> None:
    assert len(hopslite.inputs) == 0
    with pytest.raises(KeyError, match="no input 'train' here; inputs of this trial: none"):
        hopslite.inputs["train"]


def test_a_name_that_was_not_given_lists_those_that_were(home: Project) -> None:
    def train(n: int) -> str:
        return hopslite.inputs["tests"]

    with pytest.raises(TrialFailed, match="no input 'tests' here; inputs of this trial: one"):
        run(home, train, {"one": "Resources/one.txt"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"x": "Resources/nothing.txt"}, "'x': .*Resources/nothing.txt"),
        ({"x": "runs:/nobody/1"}, "'x': .*no run named 'nobody'"),
        ({"x": "Resources/../../y"}, "'x': .*leaves the project"),
        ({"x": 3}, "'x': 3; give a URL or path"),
        ({"": "Resources/one.txt"}, "give a URL or path, as text, for a name"),
        (["Resources/one.txt"], "give a dict of URLs by name"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(home: Project, given: Any, said: str) -> None:
    with pytest.raises(InvalidArguments, match=said):
        run(home, lambda n: n, given)
    assert home.runs() == []


def test_an_empty_directory_is_taken_for_a_mistake() -> None:
    project = Project("memory://test-inputs")
    project.makedirs("Resources/empty")
    with pytest.raises(InvalidArguments, match="Resources/empty is an empty directory"):
        find_inputs(project, {"x": "Resources/empty"})


def test_all_problems_are_said_at_once(home: Project) -> None:
    with pytest.raises(InvalidArguments) as refused:
        find_inputs(home, {"x": "Resources/nothing", "y": 3, "one": "Resources/one.txt"})
    assert len(refused.value.problems) == 2


def test_a_run_never_mixes_two_versions_of_its_data(home: Project) -> None:
    """Another machine would fetch what is there now, while this one has what was there when the run began."""
    if home.is_local:
        pytest.skip("what is on a mounted file system is used where it is, by all")

    def train(n: int) -> int:
        if n == 1:
            home.write_bytes("Resources/one.txt", b"changed")
            for cached in (Path(os.environ["SPARK_LOCAL_DIRS"])).rglob("one.txt"):
                cached.chmod(0o644)
                cached.write_text("broken")  # so that it is fetched again
        return n

    result = run(home, train, {"one": "Resources/one.txt"})
    assert [str(trial.state) for trial in result.trials] == ["FINISHED", "FAILED"]
    assert result.trials[1].cause == "inputs"
    assert "input 'one'" in str(result.trials[1].error)
    assert "has changed since" in str(result.trials[1].error)
    assert result.trials[1].traceback is None


def test_a_signed_url_is_not_kept_with_the_run_and_given_again(home: Project, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    with tarfile.open(tmp_path / "web" / "x.tar.gz", "w:gz") as archive:
        archive.add(__file__, "inside")

    def train(n: int) -> int:
        names = os.listdir(hopslite.inputs["train"])
        if n == 2 and not home.exists("again"):
            home.write_bytes("again", b"")
            raise KeyboardInterrupt
        return names.index("inside") + n

    with web_server(tmp_path / "web") as address:
        signature = secrets.token_hex(8)  # its text is not in this file, which is kept as the program's
        url = f"{address}/x.tar.gz?X-Amz-Signature=ge/{signature}"
        with pytest.raises(RunInterrupted) as stopped:
            run(home, train, {"train": url, "words": "Resources/one.txt"})
        run_id = stopped.value.run_id
        kept = home.read_bytes(f"Experiments/{run_id}/plan.pkl")
        assert signature.encode() not in kept + pickle.loads(kept)[0]
        assert not [name for _, folders, files in os.walk(tmp_path) for name in [*folders, *files] if signature in name]
        options: dict[str, Any] = {"project": home.url, "pool": "inline", "display": False}
        with pytest.raises(ResumeError, match=r"give them again, with inputs= and 'train': http.*/x\.tar\.gz\?…"):
            experiment.resume(run_id, **options)
        home.write_bytes("Resources/two.txt", b"two")
        with pytest.raises(InvalidArguments, match=r"the input 'train' is another: .*, now .*two.txt"):
            experiment.resume(run_id, inputs={"train": "Resources/two.txt"}, **options)
        done = experiment.resume(run_id, inputs={"train": url.replace(signature, f"another-{signature}")}, **options)
        assert [trial.metric for trial in done.trials] == [1, 2]


@contextlib.contextmanager
def web_server(folder: Path) -> Iterator[str]:
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_run_goes_on_with_the_inputs_that_it_began_with(home: Project) -> None:
    def train(n: int) -> int:
        if n == 2 and not home.exists("again"):
            home.write_bytes("again", b"")
            raise KeyboardInterrupt
        return n

    given = {"one": "Resources/one.txt"}
    with pytest.raises(RunInterrupted) as stopped:
        run(home, train, given)
    run_id = stopped.value.run_id
    home.write_bytes("Resources/two.txt", b"two")
    others = [
        (None, "the input 'one' is another: .*one.txt, now none"),
        ({"one": "Resources/two.txt"}, "the input 'one' is another: .*one.txt, now .*two.txt"),
        ({**given, "more": "Resources/two.txt"}, "the input 'more' is another: none, now .*two.txt"),
    ]
    for inputs, message in others:
        with pytest.raises(InvalidArguments, match=message):
            run(home, train, inputs, resume=run_id)
    begun = run(home, train, {"one": "Resources/two.txt"}, resume="auto")
    assert begun.run_id != run_id, "went on with a run of other data"
    assert run(home, train, given, resume="auto").run_id == run_id
    home.write_bytes("Resources/one.txt", b"changed")
    with pytest.raises(InvalidArguments, match=r"the input 'one' is another: .*one.txt, now .* with other content"):
        run(home, train, given, resume=run_id)
    assert run(home, train, given, resume=run_id, force=True).run_id == run_id
