"""The dashboard in a real browser: a search on Spark from start to end, and recorded runs of all sizes."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.helpers.browser import SECONDS, keep, served
from tests.helpers.observe import eventually, text_of
from tests.helpers.programs import Program
from tests.helpers.recorded_runs import recorded_run
from tests.helpers.stores import S3

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow("browser")

SEARCH = """
import os, pathlib, time
from hopslite import experiment

HERE = pathlib.Path(os.getcwd())

def train(rate, units):
    import hopslite

    for step in range(1000):
        while rate != 0.1 or not (HERE / f"go-{step}").exists():  # the others wait until they are stopped
            time.sleep(0.02)
        value = 1 - 1 / (step + 2) ** (rate * units)
        hopslite.report({"accuracy": value, "<img src=x onerror=window.hacked=1>": 1.0}, step=step)
        if step == 5:
            break
    return {"accuracy": 1 - rate / units}

experiment.grid_search(
    train, {"rate": [0.1, 0.2], "units": [2, 4]}, direction="max", optimization_key="accuracy",
    name="live <img src=x onerror=window.hacked=1>", tags={"<b>tag</b>": "x"},
)
"""
PASSWORD = "open sesame"
VIEW = "document.querySelector('.hl-run').view"
READY = f"{VIEW.replace(').view', ')?.view')}?.store.run && {VIEW}.table.api !== undefined"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("dashboard")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(place / "state"))  # what is opened here is not among the user's projects
        yield place


@pytest.fixture(scope="module")
def dashboard(folder: Path) -> Iterator[str]:
    """Address of a dashboard, with its token, over a project with a run of 1 000 trials, `many`, and `few`."""
    project = str(folder / "hopslite_project")
    recorded_run(project, "many", 1000)
    recorded_run(project, "few", 30)
    recorded_run(project, "few", 12)
    words = ("hopslite.cli", "dashboard", "--no-browser", "--port", "8790")
    with served(folder, *words, HOPSLITE_DASHBOARD_PASSWORD=PASSWORD) as address:
        yield address


def open_run(page: Page, dashboard: str, name: str) -> None:
    """Let the browser in, and open the newest run of a name."""
    page.goto(dashboard)
    page.get_by_role("link", name=name).first.click()
    page.wait_for_function(READY)


def request(address: str, path: str, **headers: str) -> http.client.HTTPResponse:
    """Answer to a request that no browser has made."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=SECONDS)
    connection.request("GET", path, headers=headers)
    return connection.getresponse()


def test_strangers_and_other_sites_are_refused(dashboard: str) -> None:
    token = urlsplit(dashboard).query
    socket = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    for path in ("/", "/runs/x", "/api/runs/x", "/_nicegui_ws/socket.io/?EIO=4&transport=polling", "/?token=wrong"):
        assert request(dashboard, path).status in (401, 403), path
    assert request(dashboard, socket, **upgrade).status == 403
    entered = request(dashboard, f"/?{token}")
    cookie = entered.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
    own, session = f"http://{urlsplit(dashboard).netloc}", cookie.partition(";")[0]
    assert request(dashboard, socket, Cookie=session, Origin=own, **upgrade).status == 101
    assert request(dashboard, socket, Cookie=session, Origin="http://elsewhere.example", **upgrade).status == 403
    assert request(dashboard, "/", Cookie=session, Host="elsewhere.example").status == 403
    assert request(dashboard, "/", Cookie=session).status == 200


def test_the_password_opens_the_page_that_was_asked_for(dashboard: str, page: Page) -> None:
    page.goto(f"http://{urlsplit(dashboard).netloc}/data")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Open").click()
    page.get_by_role("heading", name="Data sets").wait_for()
    assert page.url.endswith("/data")


def test_a_running_search_is_watched_and_stopped(dashboard: str, folder: Path, page: Page) -> None:
    program = Program(folder, SEARCH, HOPSLITE_TRACKING_URI="off", HOPSLITE_TENSORBOARD="0", HOPSLITE_PLOTS="0")
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    try:
        page.goto(dashboard)
        page.get_by_role("link", name="live <img").click(timeout=2 * SECONDS * 1000)
        page.wait_for_function(READY)
        page.locator("[data-state=RUNNING]").wait_for()
        for step in range(3):
            (folder / f"go-{step}").touch()
            curves = (
                f"[...{VIEW}.store.trials.values()].map((t) => t.curves.get({VIEW}.store.metrics.indexOf('accuracy')))"
            )
            points = f"{curves}.some((curve) => curve?.[0].length === {step + 1})"
            page.wait_for_function(points)
        page.get_by_label("Curves").locator("canvas").first.wait_for()
        keep(page, "dashboard-live")
        for step in range(3, 6):
            (folder / f"go-{step}").touch()
        page.wait_for_function("Number(document.querySelector('[data-progress]').dataset.progress) >= 2")
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("dialog").get_by_role("button", name="Stop").click()
        page.locator("[data-state=STOPPED]").wait_for()
        page.get_by_role("button", name="Resume").wait_for()
        eventually(lambda: program.process.poll() is not None, "the program ends", 120)
        assert "stopped" in text_of(program.err) or program.process.returncode
        assert page.evaluate("window.hacked") is None
        assert problems == []
        keep(page, "dashboard-stopped")
    finally:
        program.kill()


def test_a_range_on_an_axis_selects_trials_in_all_views(dashboard: str, page: Page) -> None:
    open_run(page, dashboard, "many")
    chart = f"{VIEW}.views.find((view) => view.constructor.name === 'Parallel')"
    page.wait_for_function(f"{chart}.chart !== undefined")
    axis = page.get_by_label("Parallel coordinates").locator("canvas").first
    axis.scroll_into_view_if_needed()
    box = axis.bounding_box()
    assert box is not None
    x = box["x"] + 46
    page.mouse.move(x, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(x, box["y"] + 150, steps=6)
    page.mouse.up()
    status = page.get_by_text(re.compile(r"\d+ of 1000 trials selected"))
    status.wait_for()
    selected = page.evaluate(f"[...{VIEW}.store.selection]")
    rates = page.evaluate(f"{VIEW}.store.list.filter((t) => {VIEW}.store.isSelected(t)).map((t) => t.params[0])")
    others = page.evaluate(f"{VIEW}.store.list.filter((t) => !{VIEW}.store.isSelected(t)).map((t) => t.params[0])")
    assert 0 < len(selected) < 1000
    assert max(rates) - min(rates) < max(others) - min(others)
    shown = f"(() => {{ let n = 0; {VIEW}.table.api.forEachNodeAfterFilter(() => n++); return n; }})()"
    page.wait_for_function(f"{shown} === {len(selected)}")
    keep(page, "dashboard-brush")
    page.get_by_role("button", name="show all").click()
    page.wait_for_function(f"{shown} === 1000")


def test_a_filter_of_the_table_selects_trials_in_all_views(dashboard: str, page: Page) -> None:
    open_run(page, dashboard, "few")
    page.get_by_label("Filter trials").fill("tanh")
    page.get_by_text(re.compile(r"\d+ of 12 trials selected")).wait_for()
    kinds = page.evaluate(f"{VIEW}.store.list.filter((t) => {VIEW}.store.isSelected(t)).map((t) => t.params[3])")
    assert set(kinds) == {"tanh"}


def test_runs_are_grouped_filtered_and_chosen(dashboard: str, page: Page) -> None:
    page.goto(dashboard)
    page.get_by_role("link", name="few").first.wait_for()
    page.get_by_role("checkbox", name="group by name").click()
    page.get_by_role("button", name="few").click()
    eventually(lambda: page.get_by_role("link", name="few").count() == 2, "the versions of a name are shown")
    page.get_by_label("Filter runs").fill("few")
    eventually(lambda: page.get_by_role("link", name="many").count() == 0, "other runs are not")
    for box in page.locator(".ag-row.hl-child .ag-selection-checkbox input").all():
        box.check()
    keep(page, "dashboard-runs")
    page.get_by_role("button", name="Compare 2").click()
    page.wait_for_url("**/compare?runs=*")


def test_the_theme_is_kept_and_a_phone_shows_all(dashboard: str, page: Page) -> None:
    open_run(page, dashboard, "few")
    page.get_by_role("button", name="Theme").click()
    page.get_by_text("dark", exact=True).click()
    page.locator("body.body--dark").wait_for()
    page.reload()
    page.locator("body.body--dark").wait_for()
    page.wait_for_function(READY)
    keep(page, "dashboard-dark")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth <= 390")
    keep(page, "dashboard-phone")


def test_texts_have_contrast(dashboard: str, page: Page) -> None:
    """The ratio of WCAG 2 between the colours of texts and their backgrounds, in both themes."""
    open_run(page, dashboard, "few")
    pairs = [
        (text, ground) for text in ("ink", "soft", "accent", "good", "warn", "bad", "run") for ground in ("card", "bg")
    ]
    for theme in ("body--light", "body--dark"):
        colours = page.evaluate(
            f"(document.body.classList.remove('body--light', 'body--dark'), document.body.classList.add('{theme}'), "
            "Object.fromEntries(['ink','soft','accent','good','warn','bad','run','card','bg'].map((name) => "
            "[name, getComputedStyle(document.body).getPropertyValue('--hl-' + name).trim()])))"
        )
        low = [(*pair, ratio) for pair in pairs if (ratio := contrast(*(colours[name] for name in pair))) < 4.5]
        assert low == [], theme


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_project_on_s3(s3: S3, tmp_path: Path, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    project = str(s3.fresh())
    recorded_run(project, "remote", 5)
    words = ("hopslite.cli", "dashboard", "--no-browser", "--port", "8795", "--project", project)
    with served(tmp_path, *words) as address:
        open_run(page, address, "remote")
        page.get_by_text("5 of 5 trials").wait_for()
        assert (
            json.loads(page.evaluate(f"JSON.stringify({VIEW}.store.list.map((t) => t.state))")).count("FINISHED") == 4
        )
