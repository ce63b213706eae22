"""TensorBoard of a driver's runs: no process until a page is opened, and gone with the driver."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hopslite import companion
from hopslite.companion import registry
from hopslite.storage.project import Project
from tests.helpers.observe import PATIENCE_S
from tests.helpers.servers import sessions, until, whole_run

from .test_companion import follow, new_run, own_registry, process_of  # noqa: F401

pytestmark = pytest.mark.usefixtures("temporary")


@pytest.fixture
def followed(project: str, temporary: Path) -> Iterator[companion.FollowedRun]:
    """A run that has been delivered, and its companion."""
    followed = follow(new_run(project), has_tensorboard=True)
    whole_run(followed.run)
    assert followed.finish(60)
    yield followed
    process = process_of(followed)
    assert followed._companion is not None
    followed._companion.retire()
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, "the companion ends")
    until(lambda: not list(temporary.iterdir()), "nothing is left")


def page(followed: companion.FollowedRun, path: str = "", body: object = None) -> str:
    """Answer of a run's page."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{followed.tensorboard_url}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())


def programs(followed: companion.FollowedRun) -> list[psutil.Process]:
    """TensorBoard's programs."""
    return [child for child in process_of(followed).children() if "_tensorboard_pages" in " ".join(child.cmdline())]


def test_it_starts_when_a_page_is_opened_and_shows_the_run(followed: companion.FollowedRun) -> None:
    assert followed.tensorboard_url is not None
    assert followed.tensorboard_url.startswith("http://127.0.0.1:")
    assert programs(followed) == []
    assert "<tb-webapp>" in page(followed)
    [program] = programs(followed)
    loaded = {Path(mapped.path).parts for mapped in program.memory_maps()}
    assert not any("tensorflow" in parts for parts in loaded)
    listening = [c for p in (program, *program.children(True)) for c in p.net_connections("inet") if not c.raddr]
    assert {connection.laddr.ip for connection in listening} <= {"127.0.0.1", "::1"}
    assert json.loads(page(followed, "data/environment"))["window_title"] == "digits v1"

    def ask(path: str, body: object = None) -> object:
        return json.loads(page(followed, f"data/{path}", body))

    groups = until(lambda: sessions(ask), "the run is loaded")
    assert sorted(groups) == ["0000", "0001", "0002"]


def test_all_runs_of_the_project_have_a_page_and_others_have_none(followed: companion.FollowedRun) -> None:
    later = follow(new_run(str(Path(followed.run.url).parent.parent)), has_tensorboard=True)
    whole_run(later.run)
    assert later.finish(60)
    root = str(followed.tensorboard_url).rsplit("/", 2)[0]
    with urllib.request.urlopen(f"{root}/", timeout=60) as answer:
        listed = answer.read().decode()
    links = [os.path.basename(one.run.url) for one in (later, followed)]
    assert listed.index(f"<a href='/{links[0]}/'>") < listed.index(f"<a href='/{links[1]}/'>")
    assert json.loads(page(later, "data/logdir"))["logdir"] == later.run.url
    assert json.loads(page(followed, "data/logdir"))["logdir"] == followed.run.url
    for name in ("20200101-no-such-run", "..", "%2e%2e", "<script>"):
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"{root}/{urllib.request.quote(name)}/", timeout=60)
        assert "There is no run" in refused.value.read().decode()


def test_one_that_is_killed_starts_again(followed: companion.FollowedRun) -> None:
    page(followed)
    [program] = programs(followed)
    program.kill()
    program.wait()
    assert page(followed)
    assert programs(followed) != [program]


def test_it_ends_when_the_companion_is_killed_and_starts_again_with_the_next(followed: companion.FollowedRun) -> None:
    page(followed)
    [program] = programs(followed)
    killed = process_of(followed)
    killed.kill()
    until(lambda: not program.is_running() or program.status() == psutil.STATUS_ZOMBIE, "TensorBoard ends")
    assert page(followed), "the address is the same"


def test_without_tensorboard_the_page_says_so(project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "broken" / "tensorboard"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]))
    followed = companion.follow(new_run(project), [], None, print, has_tensorboard=True)
    with pytest.raises(urllib.error.HTTPError, match="503") as refused:
        page(followed)
    assert 'pip install "hopslite[tensorboard]"' in refused.value.read().decode()
    followed.finish()


def test_each_environment_has_its_own(project: str) -> None:
    assert registry._relevant({"PYTHONPATH": "/a"}) != registry._relevant({"PYTHONPATH": "/b"})
    assert follow(Project(project).new_run("a")[2]).tensorboard_url is None
