"""The dashboard's pages of trials, comparisons, data sets, models and new runs in a real browser."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hopslite import data, experiment, model, tensorboard
from hopslite.core.types import Event, State
from hopslite.storage.driver_lease import claim
from hopslite.storage.recent_projects import remember_project
from tests.helpers.axe import violations
from tests.helpers.browser import SECONDS, keep, served
from tests.helpers.observe import eventually
from tests.helpers.recorded_runs import append, recorded_run
from tests.helpers.servers import mlflow_client

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow("browser")

RUN_SECONDS = 240  # with Spark's start and an import of TensorFlow
HOSTILE = "<script>window.hacked = true</script><img src=x onerror='window.hacked = true'>"


def train(rate: float, units: int) -> dict[str, float]:
    import hopslite

    for step in range(40):
        hopslite.report(units * step, step=step)
        print(f"step {step} {HOSTILE}")
    kept = Path(str(tensorboard.logdir()))
    (kept / "page.html").write_text(HOSTILE)
    (kept / "drawing.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg">{HOSTILE}</svg>')
    (kept / "table.csv").write_text(f"step,loss\n1,0.5\n2,{HOSTILE}\n")
    if units == 4:
        raise ValueError(f"units are too many: {HOSTILE}")
    return {"accuracy": rate * units}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(place / "state"))  # what is opened here is not among the user's projects
        yield place


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[str]:
    """Ids of two runs whose second trial has failed."""
    project = str(folder / "hopslite_project")
    made = []
    for rate in (0.1, 0.2):
        run = experiment.grid_search(
            train,
            {"rate": [rate], "units": [2, 4]},
            direction="max",
            optimization_key="accuracy",
            name="pages",
            project=project,
            pool="inline",
            display=False,
        )
        made.append(run.run_id)
    model.export(str(folder / "hopslite_project" / "Experiments" / made[0] / "trials" / "0000" / "table.csv"), "tables",
                 metrics={"accuracy": 0.2}, project=project)  # fmt: skip
    return made


@pytest.fixture(scope="module")
def dashboard(folder: Path, runs: list[str]) -> Iterator[str]:
    with served(folder, "hopslite.cli", "dashboard", "--no-browser", "--port", "8840") as address:
        yield address


@pytest.fixture
def pages(dashboard: str, page: Page) -> Page:
    """A page that is logged in, whose `goto` takes paths; nothing from runs may have run in it."""
    page.set_default_timeout(1000 * SECONDS)
    page.goto(dashboard)
    page.get_by_role("navigation").wait_for()  # the page with the token goes on to another one
    return page


def at(dashboard: str, path: str) -> str:
    return dashboard.partition("/?")[0] + path


def test_a_failed_trial_shows_its_error_log_and_files(dashboard: str, pages: Page, runs: list[str]) -> None:
    trial = f"/runs/{runs[0]}/trials/0001"
    pages.goto(at(dashboard, trial))
    pages.get_by_text(f"ValueError: units are too many: {HOSTILE}").first.wait_for()
    pages.locator(".hl-chart-card canvas").first.wait_for()
    keep(pages, "dashboard-trial")
    pages.get_by_role("tab", name="Log").click()
    pages.get_by_text(f"step 39 {HOSTILE}").wait_for()
    pages.get_by_label("Search the log").fill("step 7 ")
    pages.get_by_text("1 of 1").wait_for()
    pages.get_by_role("tab", name="Files").click()
    for name in ("page.html", "drawing.svg"):
        pages.get_by_role("button", name=name).click()
        pages.locator(".hl-preview .hl-pre", has_text=HOSTILE).wait_for()
    pages.get_by_role("button", name="table.csv").click()
    pages.get_by_role("cell", name=HOSTILE).wait_for()
    assert pages.locator(".hl-preview svg, .hl-preview script").count() == 0
    pages.get_by_role("tab", name="Program").click()
    pages.get_by_text("Environment").wait_for()
    pages.get_by_role("tab", name="Events").click()
    pages.get_by_text("suggested").wait_for()
    assert pages.evaluate("window.hacked") is None
    pages.reload()
    pages.get_by_text("suggested").wait_for()  # the address has the tab


def test_files_are_data_wherever_they_are_opened(dashboard: str, runs: list[str]) -> None:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    opener.open(dashboard).read()
    files = at(dashboard, f"/api/runs/{runs[0]}/trials/0001/files")
    for name in ("page.html", "drawing.svg"):
        with opener.open(f"{files}/{name}") as answer:
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert answer.headers["Content-Disposition"].startswith("attachment")
            assert "sandbox" in answer.headers["Content-Security-Policy"]
    with opener.open(f"{files}/output.log?from=-20") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert len(answer.read()) == 20
    for path in ("..%2F..%2Frun.json", "..%2f0000%2foutput.log", "%2Fetc%2Fpasswd"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            opener.open(f"{files}/{path}")
        assert refused.value.code == 404


def test_runs_and_trials_are_compared(dashboard: str, pages: Page, runs: list[str]) -> None:
    pages.goto(at(dashboard, f"/compare?runs={runs[0]},{runs[1]}"))
    row = pages.locator("tr", has=pages.get_by_role("rowheader", name="rate", exact=True))
    row.first.wait_for()
    assert row.first.locator("td").all_inner_texts() == ["0.1", "0.2"]
    assert row.first.locator("td.hl-changed").all_inner_texts() == ["0.2"]
    same = pages.locator("tr", has=pages.get_by_role("rowheader", name="units", exact=True)).first
    pages.locator(".hl-chart-card canvas").first.wait_for()
    keep(pages, "dashboard-compare")
    pages.get_by_role("checkbox", name="differences only").click()
    same.wait_for(state="hidden")
    assert row.first.is_visible()
    pages.goto(at(dashboard, f"/compare?runs={runs[0]}/0000,{runs[0]}/0001"))
    pages.get_by_role("link", name="pages 1 / 0001").first.wait_for()
    assert pages.evaluate("window.hacked") is None
    pages.goto(at(dashboard, f"/compare?runs={runs[0]},nonsense"))
    pages.get_by_text("there is no run 'nonsense'").wait_for()


def test_an_archive_becomes_a_version_of_a_data_set(dashboard: str, pages: Page, folder: Path) -> None:
    with zipfile.ZipFile(folder / "flowers.zip", "w") as archive:
        for split, label in (("train", "rose"), ("train", "tulip"), ("val", "rose")):
            archive.writestr(f"{split}/{label}/1.txt", label)
    pages.goto(at(dashboard, "/data"))
    pages.get_by_role("button", name="New data set").click()
    pages.get_by_label("name").fill("flowers")
    pages.get_by_role("button", name="Create").click()
    pages.get_by_label("Files", exact=True).set_input_files(folder / "flowers.zip")
    assert pages.get_by_role("checkbox", name="unpack archives").is_checked()
    pages.get_by_role("button", name="Upload", exact=True).click()
    pages.get_by_text("train: 2 classes, 2 files").wait_for()
    keep(pages, "dashboard-data-set")
    version = data.get("flowers", project=str(folder / "hopslite_project"))
    assert list(version.files) == ["train/rose/1.txt", "train/tulip/1.txt", "val/rose/1.txt"]
    with pages.expect_download() as download:
        pages.get_by_role("link", name="download").click()
    with zipfile.ZipFile(download.value.path()) as saved:
        assert saved.read("train/rose/1.txt") == b"rose"


def test_models_are_listed_with_their_trials(dashboard: str, pages: Page, runs: list[str]) -> None:
    pages.goto(at(dashboard, "/models"))
    pages.get_by_role("link", name="tables").click()
    link = pages.get_by_role("link", name="trial 0000")
    link.wait_for()
    assert link.get_attribute("href") == f"/runs/{runs[0]}/trials/0000"
    with pages.expect_download() as download:
        pages.get_by_role("link", name="download").click()
    with zipfile.ZipFile(download.value.path()) as saved:
        assert saved.namelist() == ["table.csv"]


def test_models_have_their_stages_in_mlflow(
    folder: Path, runs: list[str], page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{folder}/registry.db"
    monkeypatch.setenv("HOPSLITE_TRACKING_URI", uri)
    (folder / "weights.txt").write_text("1")
    model.export(str(folder / "weights.txt"), "staged", project=str(folder / "hopslite_project"))
    mlflow_client(uri).set_registered_model_alias("staged", "champion", "1")
    command = ("hopslite.cli", "dashboard", "--no-browser", "--port", "8841")
    with served(folder, *command, HOPSLITE_TRACKING_URI=uri) as address:
        page.goto(address)
        page.get_by_role("navigation").wait_for()
        page.goto(at(address, "/models/staged"))
        page.get_by_text("champion").wait_for(timeout=1000 * RUN_SECONDS)
        keep(page, "dashboard-models")


def test_a_run_is_started_from_the_form_of_a_template(dashboard: str, pages: Page, folder: Path) -> None:
    pages.goto(at(dashboard, "/new"))
    pages.get_by_role("link", name="image-classification").click()
    epochs = pages.get_by_label("num_epoch", exact=True)
    epochs.fill("0")
    pages.get_by_text("num_epoch: is 0; it is a whole number from 1").wait_for()
    assert pages.get_by_role("button", name="Start").is_disabled()
    epochs.fill("1")
    pages.locator(".hl-parameter", has_text="lr").last.get_by_role("radio", name="list").click()
    pages.get_by_label("lr", exact=True).fill("0.001, 0.01")
    pages.get_by_text("--num_epoch 1 --lr '[0.001, 0.01]'").wait_for()
    keep(pages, "dashboard-new-run")
    pages.get_by_role("button", name="Start").click()
    pages.wait_for_url("**/runs/*", timeout=1000 * RUN_SECONDS)
    run_id = re.sub(r"[?#].*", "", pages.url).rpartition("/")[2]
    project = str(folder / "hopslite_project")
    run = eventually(
        lambda: (loaded := experiment.load(run_id, project=project)).state.final and loaded, "the run ends", RUN_SECONDS
    )
    assert run
    assert run.state is State.FINISHED
    assert sorted(trial.params["lr"] for trial in run.trials) == [0.001, 0.01]
    assert {trial.params["num_epoch"] for trial in run.trials} == {1}
    assert (folder / "image-classification" / "train.py").is_file()


def test_pages_are_accessible(dashboard: str, pages: Page, runs: list[str]) -> None:
    """No violation of WCAG 2 A and AA that axe-core finds, in both themes."""
    paths = {
        "/": pages.get_by_role("link", name="pages"),
        f"/runs/{runs[0]}": pages.locator(".hl-run canvas"),
        f"/runs/{runs[0]}/trials/0001": pages.locator(".hl-chart-card canvas"),
        f"/compare?runs={runs[0]},{runs[1]}": pages.locator(".hl-chart-card canvas"),
        "/new?template=script": pages.get_by_role("button", name="Start"),
    }
    problems: list[str] = []
    for theme in ("light", "dark"):
        pages.context.add_cookies([{"name": "hopslite-theme", "value": theme, "url": at(dashboard, "/")}])
        for path, ready in paths.items():
            pages.goto(at(dashboard, path))
            pages.locator(f"body.body--{theme}").wait_for()
            ready.first.wait_for()
            if path == f"/runs/{runs[0]}":
                pages.wait_for_function("document.querySelector('.hl-run').view.table.api !== undefined")
            problems += [f"{path} {theme}: {line}" for line in violations(pages)]
    assert not problems, "\n".join(problems)


def test_files_of_a_running_trial_follow(dashboard: str, pages: Page, folder: Path) -> None:
    run = recorded_run(str(folder / "hopslite_project"), "writing", 0, state="RUNNING")
    lease = claim(run)
    try:
        append(
            run,
            [
                Event("asked", 2e9, "0000", {"params": {}}),
                Event("started", 2e9, "0000", {"slot": 0, "host": "localhost", "attempt": 0}),
            ],
        )
        run.makedirs("trials/0000")
        pages.goto(at(dashboard, f"/runs/{run.url.rpartition('/')[2]}/trials/0000?tab=files"))
        pages.get_by_text("It has written no files.").wait_for()
        run.write_bytes("trials/0000/notes.txt", b"first")
        pages.locator(".hl-preview .hl-pre", has_text="first").wait_for()
        run.write_bytes("trials/0000/notes.txt", b"first and second")
        pages.locator(".hl-preview .hl-pre", has_text="first and second").wait_for()
        run.write_bytes("trials/0000/a.txt", b"other")
        pages.get_by_role("button", name="a.txt").wait_for()
    finally:
        lease.release()


def test_the_address_of_a_run_leads_to_its_page(pages: Page, folder: Path, runs: list[str]) -> None:
    address = experiment.load(runs[0], project=str(folder / "hopslite_project")).dashboard()
    assert address
    pages.goto(address)
    pages.get_by_role("heading", name="pages version 1").wait_for()


def test_another_project_that_was_opened_is_opened_again(
    dashboard: str, pages: Page, tmp_path: Path, runs: list[str]
) -> None:
    recorded_run(str(tmp_path / "another"), "elsewhere", 2)
    remember_project(str(tmp_path / "another"))
    pages.goto(at(dashboard, "/"))
    pages.get_by_role("button", name="change to another").click()
    pages.get_by_text(str(tmp_path / "another")).click()
    pages.get_by_role("link", name="elsewhere").wait_for()
    assert not pages.url.startswith(at(dashboard, ""))


def test_a_dashboard_that_only_shows_starts_nothing(folder: Path, runs: list[str], page: Page) -> None:
    with served(folder, "hopslite.cli", "dashboard", "--no-browser", "--read-only", "--port", "8860") as address:
        page.goto(address)
        page.goto(at(address, "/new?template=script"))
        page.get_by_text("This dashboard only shows").wait_for()
        assert page.get_by_role("button", name="Start").count() == 0
        page.goto(at(address, "/data/flowers"))
        assert page.get_by_text("Upload a new version").count() == 0
