"""Records that a crash, another version or somebody else has left: every command answers, never with a trace."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hopslite import experiment
from hopslite.cli import main
from hopslite.errors import ResumeError, StoreError
from hopslite.storage.project import Project
from hopslite.storage.records import EVENTS, RUN, read_record

NASTY = "\x1b[2J\x1b]0;title\x07<script>\r\x00\u202eend"
FEW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([10**400, -1, NASTY]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CONTENTS = st.one_of(
    st.binary(max_size=60),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.just(b"[" * 100_000),
    st.just(b'{"name": ' + b"9" * 5000 + b"}"),
    st.just(b'"\\ud800"'),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two runs, `sound` and `bad`."""
    project = tmp_path_factory.mktemp("made") / "p"
    options: dict[str, Any] = {"project": str(project), "pool": "inline", "display": False}
    for name in ("sound", "bad"):
        experiment.grid_search(
            lambda lr: {"loss": lr, "log": "x"},
            {"lr": [0.1, 0.2]},
            "min",
            optimization_key="loss",
            name=name,
            **options,
        )
    return project


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "p"))


def bad_run(project: Path) -> Path:
    return next(
        path.parent
        for path in project.glob("Experiments/*/journal")
        if path.parent.name == sorted(Project(str(project)).runs())[1]
    )


def call(project: Path, *words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*words, "--project", str(project)])
    return code, out.getvalue(), err.getvalue()


def commands(run_id: str, folder: str) -> Iterator[list[str]]:
    yield ["ls"]
    yield ["ls", "--json"]
    yield from (["ls", "--sort", key] for key in ("name", "metric", "duration", "trials"))
    yield from (["ls", "--state", "finished"], ["ls", "--since", "1d"], ["ls", "--tag", "a=b"], ["ls", "so*"])
    for run in (run_id, "bad", "bad/1"):
        yield from (
            ["show", run],
            ["show", run, "--json"],
            ["show", run, "0000"],
            ["show", run, "best"],
            ["compare", run, "sound"],
        )
        yield from (["logs", run, "0"], ["tag", run], ["note", run], ["best", "bad"], ["tag", run, "-d", "x"])
    yield ["compare", "sound", run_id, "--json"]
    yield ["export", run_id, "--force", "-o", f"{folder}/x.tar.gz"]
    yield ["reproduce", run_id, "--no-install", "-o", f"{folder}/again-{os.urandom(4).hex()}"]
    yield ["resume", "no such run"]


def check(project: Path, run_id: str) -> None:
    """All commands answer; those that cannot do it say so in one line; the other run is there as ever."""
    for words in commands(run_id, str(project.parent)):
        code, out, err = call(project, *words)
        assert code in (0, 1, 2, 3), words
        assert "Traceback" not in err
        assert code == 0 or len(err.splitlines()) <= (1 if code in (1, 3) else 4), (words, err)
        assert all(character.isprintable() for line in out.splitlines() + err.splitlines() for character in line), words
        if words[0] == "ls":
            assert code == 0, (words, err)
    assert call(project, "show", "sound")[0] == 0
    assert "sound" in call(project, "ls")[1]


class TestMutations:
    @FEW
    @given(content=CONTENTS)
    def test_any_content_of_any_record(self, project: Path, content: bytes) -> None:
        run = bad_run(project)
        for name in ("run.json", "notes.json", "git.json", "mlflow.json", ".summary.json", "sessions/0001.json"):
            before = (run / name).read_bytes() if (run / name).exists() else None
            (run / name).write_bytes(content)
            _, out, _ = call(project, "ls")
            assert "sound" in out
            code, _, err = call(project, "show", run.name)
            assert code in (0, 1) and len(err.splitlines()) <= 1
            assert call(project, "compare", run.name, "sound")[0] in (0, 1)
            if before is None:
                (run / name).unlink()
            else:
                (run / name).write_bytes(before)

    @FEW
    @given(name=st.sampled_from([*RUN, "cpus_per_trial", "unknown"]), value=JSON)
    def test_any_value_of_any_field(self, project: Path, name: str, value: Any) -> None:
        run = bad_run(project)
        before = (run / "run.json").read_bytes()
        (run / "run.json").write_text(json.dumps({**json.loads(before), name: value}))
        check(project, run.name)
        (run / "run.json").write_bytes(before)

    @pytest.mark.slow("soak")
    @FEW
    @given(data=st.data())
    def test_any_value_in_the_journal(self, project: Path, data: st.DataObject) -> None:
        run = bad_run(project)
        path = run / "journal" / "000001.jsonl"
        before = path.read_text()
        events = [json.loads(line) for line in before.splitlines()]
        event = data.draw(st.sampled_from(events))
        fields = [*event["data"], *EVENTS.get(event["kind"], ({}, ()))[0]]
        field = data.draw(st.sampled_from([*fields, "trial", "time", "kind", "data"]))
        target = event if field in ("trial", "time", "kind", "data") else event["data"]
        target[field] = data.draw(JSON)
        path.write_text("".join(json.dumps(each) + "\n" for each in events))
        (run / "run.json").rename(run / "away")
        check(project, run.name)
        (run / "away").rename(run / "run.json")
        check(project, run.name)
        path.write_text(before)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "there is no run.json"),
        (b"", "run.json is empty"),
        (b"\0\0", "run.json is empty"),
        (b'{"name": "a", ', "run.json is not a JSON object"),
        (b"[1]", "run.json is not a JSON object"),
        (b"[" * 10**6, "run.json is not a JSON object"),
        (b'{"name": "a"}', "run.json lacks its version and state"),
        (b'{"name": "", "version": 1, "state": "FINISHED"}', 'run.json: name is "", not a text that is not empty'),
        (
            b'{"name": "a", "version": "1", "state": "FINISHED"}',
            'run.json: version is "1", not a whole number of at least 0',
        ),
        (b'{"name": "a", "version": true, "state": "FINISHED"}', "run.json: version is true, not"),
        (
            b'{"name": "a", "version": 1, "state": "PAUSED"}',
            'run.json: state is "PAUSED", not one of QUEUED, PENDING, RUNNING',
        ),
        (b'{"name": "a", "version": 1, "state": "FINISHED", "started": 1e99}', "started is 1e+99, not a time"),
        (b'{"name": "a", "version": 1, "state": "X", "hopslite": "99.0"}', "(hopslite 99.0 has made it)"),
    ],
)
def test_why_a_record_cannot_be_read(content: bytes | None, why: str) -> None:
    with pytest.raises(StoreError) as caught:
        read_record(content)
    assert why in str(caught.value)


def test_a_record_that_is_no_file(project: Path) -> None:
    run = bad_run(project)
    (run / "run.json").unlink()
    os.mkfifo(run / "run.json")
    code, out, _ = call(project, "ls")
    assert code == 0 and "it is no file" in out and "sound" in out
    (run / "run.json").unlink()
    (run / "run.json").mkdir()
    code, out, _ = call(project, "ls")
    assert code == 0 and "DAMAGED" in out and "sound" in out
    assert call(project, "show", "sound")[0] == 0


def test_nothing_of_others_moves_the_cursor(project: Path) -> None:
    run = bad_run(project)
    record = json.loads((run / "run.json").read_text())
    texts = dict.fromkeys(("name", "verb", "optimization_key", "description", "error", "user", "program"), NASTY)
    record |= {**texts, "tags": {NASTY: NASTY}, "space": {NASTY: {"type": NASTY}}, "inputs": {NASTY: {"url": NASTY}}}
    (run / "run.json").write_text(json.dumps(record))
    journal = run / "journal" / "000001.jsonl"
    journal.write_text(journal.read_text().replace('"lr"', json.dumps(NASTY)))
    (run / "git.json").write_text(json.dumps({"commit": NASTY, "remote": NASTY, "changed": [NASTY]}))
    check(project, run.name)
    found = experiment.load(run.name, project=str(project))
    assert found.name == NASTY  # what programs get is what the record has
    assert all(character.isprintable() or character == "\n" for character in repr(found) + found._repr_html_())
    assert "<script>" not in found._repr_html_()


def test_a_run_without_a_name_takes_no_other_ones_versions(project: Path, tmp_path: Path) -> None:
    home = Project(str(project))
    assert home.claim_version("", "x") == 1
    options: dict[str, Any] = {"project": str(project), "pool": "inline", "display": False}
    assert experiment.launch(lambda: 1, name="1", **options).version == 1
    run = bad_run(project)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "name": ""}))
    assert call(project, "export", run.name, "-o", str(tmp_path / "x.tar.gz"))[0] == 0
    code, _, err = call(tmp_path / "other", "import", str(tmp_path / "x.tar.gz"))
    assert (code, 'run.json: name is ""' in err) == (1, True)


class TestArchives:
    def test_links_that_lead_out_stay_and_are_named(self, project: Path, tmp_path: Path) -> None:
        trial = bad_run(project) / "trials" / "0000"
        (tmp_path / "secret").write_text("hunter2")
        (trial / "model").mkdir()
        (trial / "model" / "deep").mkdir()
        for name in ("weights", "deep/er"):
            (trial / "model" / name).write_text("w")
        for name, target in {
            "absolute": trial / "model" / "weights",
            "out": tmp_path / "secret",
            "up": Path("../../../../../secret"),
            "folder": tmp_path,
            "inside": Path("model/weights"),
            "latest": Path("model"),
        }.items():
            (trial / name).symlink_to(target)
        os.mkfifo(trial / "pipe")
        archive = tmp_path / "x.tar.gz"
        code, out, err = call(project, "export", "bad", "-o", str(archive))
        assert (code, out.strip()) == (0, str(archive))
        for name in ("out", "up", "folder", "pipe"):
            assert f"left out: trials/0000/{name}" in err
        assert len(err.splitlines()) == 4
        with tarfile.open(archive) as packed:
            assert not [name for name in packed.getnames() if name.endswith(("/out", "/up", "/folder", "/pipe"))]
        other = tmp_path / "other"
        assert call(other, "import", str(archive))[0] == 0
        [imported] = other.glob("Experiments/*/trials/0000")
        assert (imported / "absolute").read_text() == (imported / "inside").read_text() == "w"
        assert (imported / "latest" / "deep" / "er").read_text() == "w"

    def test_a_plan_of_somebody_else_is_not_run_unasked(self, project: Path, tmp_path: Path) -> None:
        archive = str(tmp_path / "x.tar.gz")
        assert call(project, "export", "bad", "--with-plan", "-o", archive)[0] == 0
        for words, is_trusted in (([], False), (["--trust-plan"], True)):
            other = tmp_path / f"other-{is_trusted}"
            code, _, err = call(other, "import", archive, *words)
            assert code == 0
            assert ("--trust-plan" in err) is not is_trusted
            [run] = other.glob("Experiments/*/run.json")
            run_id = run.parent.name
            assert (run.parent / "plan.pkl").exists() is is_trusted
            if is_trusted:
                continue
            with pytest.raises(ResumeError, match="came with an archive"):
                experiment.resume(run_id, project=str(other), pool="inline")
            code, _, err = call(other, "resume", run_id, "--retry-failed")
            assert (code, len(err.splitlines())) == (1, 1)
            assert "hopslite resume --trust-plan" in err
            assert "came with an archive" in err

    def test_an_archive_brings_nothing_of_another_machine(self, project: Path, tmp_path: Path) -> None:
        """Where MLflow was, and who had worked on the run: the one would send what is here there."""
        run = bad_run(project)
        archive = tmp_path / "x.tar.gz"
        (run / "mlflow.json").write_text('{"tracking_uri": "http://evil.example.org"}')
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(run, run.name)
        assert call(tmp_path / "other", "import", str(archive))[0] == 0
        [imported] = (tmp_path / "other").glob("Experiments/*/run.json")
        assert not (imported.parent / "mlflow.json").exists()
        assert not (imported.parent / "sessions").exists()
