"""What people see: MLflow, TensorBoard and JupyterLab in a real browser.

What the pages look like is kept in `build/screenshots/`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from conftest import where_available
from observe import eventually, text_of
from programs import REPOSITORY, Program
from servers import free_port, read_mlflow
from stores import Unavailable

from hopslite.store import RunDir

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCREENSHOTS = REPOSITORY / "build" / "screenshots"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync")
SECONDS = 60
START_SECONDS = 120

SEARCH = """
import os, pathlib, time
from hopslite import experiment, model

HERE = pathlib.Path(os.getcwd())

def train(rate, units):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    import hopslite

    for step in range(12):
        while step > 5 and not (HERE / "go").exists():
            time.sleep(0.05)
        hopslite.report(1 - 1 / (step + 2) ** (rate * units), step=step)
        print(f"step {step}", flush=True)
    pyplot.imshow([[rate, units], [units, rate]])
    pyplot.savefig("confusion.png")
    return {"accuracy": 1 - rate / units, "confusion": "confusion.png"}

run = experiment.grid_search(
    train, {"rate": [0.1, 0.2], "units": [2, 4]},
    direction="max", optimization_key="accuracy", name="live", description="How many units are *enough*?",
)
model.export(run.best_logdir + "/confusion.png", "drawn model", metrics={"accuracy": run.best_metric})
print("ENDED", '"' + run.run_id + '"', flush=True)
"""
CELLS = [
    """
from pathlib import Path
from hopslite import experiment, plots

GO = Path("go").resolve()

def train(rate, units):
    import time
    import hopslite

    for step in range(10):
        while step > 4 and not GO.exists():
            time.sleep(0.05)
        hopslite.report(1 - 1 / (step + 2) ** (rate * units), step=step)
    print(f"rate {rate}: trained")
    return 1 - rate / units
""",
    """
run = experiment.grid_search(
    train, {"rate": [0.1, 0.2, 0.3], "units": [2, 4, 8]}, direction="max", name="in JupyterLab"
)
""",
    "plots.parallel_coordinates(run)",
]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        raise Unavailable("there is no Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with where_available(chromium()) as started:
        yield started


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Of a browser in which nothing has been chosen, closed or remembered, but for MLflow's assistant.

    That opens at the first visit, over a third of the page.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(SECONDS * 1000)
    context.add_init_script("localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')")
    opened = context.new_page()
    yield opened
    keep(opened, f"last-{request.node.name}")
    context.close()


def keep(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


@contextlib.contextmanager
def served(folder: Path, *module: str, **environment: str) -> Iterator[str]:
    """The address that a program prints once it answers there."""
    log = folder / f"{module[0]}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )

    def address() -> re.Match[str] | None:
        assert process.poll() is None, text_of(log)
        return re.search(r"http://127\.0\.0\.1:\d+\S*", text_of(log))

    try:
        found = eventually(address, f"{' '.join(module)} tells its address", START_SECONDS)
        assert found
        yield found[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def searching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A search that is recorded and shown everywhere; its trials wait in the middle for a file `go`."""
    folder = tmp_path_factory.mktemp("searching")
    shown = {"HOPSLITE_TRACKING_URI": "", "HOPSLITE_TENSORBOARD": "1", "HOPSLITE_PLOTS": "1"}
    program = Program(folder, SEARCH, **shown)
    yield program
    program.kill()


def has_ended(program: Program) -> RunDir:
    """Lets the search end; its run, when MLflow has all of it."""
    (program.folder / "go").touch()
    program.said("ENDED")
    assert program.process.wait(120) == 0, text_of(program.err)  # it waits for MLflow
    return program.runs()[0]


def loaded(page: Page, image: str) -> bool:
    """Whether an image is there, and is one."""
    pictures = page.locator(image)
    return bool(pictures.count()) and bool(pictures.first.evaluate("image => image.complete && image.naturalWidth > 1"))


def test_a_run_in_mlflow(searching: Program, page: Page) -> None:
    project = searching.folder / "hopslite_project"
    eventually(lambda: [*project.glob("Experiments/*/mlflow.json")], "MLflow is told of the run", 120)
    [run] = searching.runs()
    eventually(lambda: run.read_json("mlflow.json")["run_id"], "MLflow has the run", 120)
    with served(searching.folder, "hopslite.cli", "ui", "--no-browser", HOPSLITE_TRACKING_URI="") as address:
        page.goto(address)
        page.get_by_text("live v1", exact=True).first.wait_for()
        page.locator("[data-testid=expander-button], .ag-row button").first.wait_for()
        mlflow = run.read_json("mlflow.json")
        root = f"{address.partition('#')[0]}#/experiments/{mlflow['experiment_id']}/runs"

        page.goto(f"{root}/{mlflow['run_id']}")
        page.get_by_role("link", name="0000", exact=True).click()
        page.get_by_text("Running", exact=True).wait_for()
        page.get_by_role("tab", name="Model metrics").click()
        page.get_by_text("reported", exact=True).first.wait_for()
        trial = page.url.partition("/model-metrics")[0]
        points = page.locator(".scatterlayer .point")
        eventually(lambda: points.count() == 6, "the curve of six reports", SECONDS)
        keep(page, "mlflow-live")

        directory = has_ended(searching)
        eventually(lambda: points.count() == 12, "the curve has grown without a reload", SECONDS)
        page.goto(f"{trial}/artifacts/confusion.png")
        eventually(lambda: loaded(page, "img[src^=blob], img[src*=confusion]"), "the image", SECONDS)
        keep(page, "mlflow-image")
        page.evaluate("localStorage.clear()")  # MLflow remembers for which metrics it had charts
        page.goto(f"{trial}/model-metrics")
        page.reload()
        eventually(lambda: loaded(page, "img"), "the image among the metrics", SECONDS)
        keep(page, "mlflow-trial")

        page.goto(f"{root}/{mlflow['run_id']}")
        page.get_by_text("How many units are").wait_for()
        assert page.get_by_text("enough", exact=True).evaluate("node => node.tagName") == "EM"
        tensorboard = directory.read_json("run.json")["tensorboard_url"]
        assert page.get_by_role("link", name=tensorboard, exact=True).get_attribute("href") == tensorboard
        keep(page, "mlflow-run")
        trials = [
            run.info.run_id for name, run in read_mlflow(f"sqlite:///{project}/mlflow.db", "live").items() if name
        ]
        page.goto(f"{root.partition('#')[0]}#/compare-runs?runs={json.dumps(trials)}&experiments=[%221%22]")
        page.get_by_text("Parallel Coordinates Plot").first.wait_for()
        page.locator(".parcoords").first.wait_for()
        keep(page, "mlflow-comparison")
        page.goto(f"{root.partition('#')[0]}#/models")
        page.get_by_role("link", name="drawn model").wait_for()
        page.goto(f"{root}/{mlflow['run_id']}/artifacts")
        for name in ("plots", "program.py", "environment.txt"):
            page.get_by_text(name, exact=True).wait_for()


def test_trials_in_tensorboard(searching: Program, page: Page) -> None:
    has_ended(searching)
    with served(searching.folder, "hopslite.cli", "tensorboard", "live", "--no-browser", "--port", "6106") as address:
        page.goto(f"{address}#hparams")
        for trial in range(4):
            page.get_by_text(f"{trial:04}", exact=True).first.wait_for()
        for column in ("rate", "units", "accuracy"):
            page.get_by_text(column).first.wait_for()
        keep(page, "tensorboard-hparams")


def notebook(path: Path, *cells: str) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, path)


def test_a_live_cell_in_jupyterlab(tmp_path: Path, page: Page) -> None:
    work, state = tmp_path / "work", tmp_path / "state"
    work.mkdir()
    notebook(work / "search.ipynb", *CELLS)
    quiet = state / "user_settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    token = secrets.token_hex(8)
    options: Any = ["--no-browser", f"--port={free_port()}", "--ip=127.0.0.1", f"--IdentityProvider.token={token}"]
    options += ["--allow-root", *(f"--LabApp.{name}_dir={state}/{name}" for name in ("user_settings", "workspaces"))]
    environment = {f"JUPYTER_{name}_DIR": str(state / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    with served(
        work, "jupyterlab", *options, HOPSLITE_TRACKING_URI="", HOPSLITE_TENSORBOARD="1", **environment
    ) as address:
        port = re.search(r":(\d+)", address.partition("//")[2])
        assert port
        page.goto(f"http://127.0.0.1:{port[1]}/lab/tree/search.ipynb?token={token}")
        page.get_by_text("in JupyterLab").first.wait_for()
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

        output = page.locator(".jp-OutputArea-output")
        output.get_by_text("of 9 trials done").first.wait_for(timeout=START_SECONDS * 1000)
        output.get_by_text("2 running").first.wait_for()
        keep(page, "jupyterlab-live")
        (work / "go").touch()
        output.get_by_text("9 of 9 trials done").first.wait_for()
        eventually(lambda: loaded(page, ".jp-OutputArea-output img"), "the plot", SECONDS)
        assert page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
        page.locator(".jp-OutputArea-output img").first.scroll_into_view_if_needed()
        keep(page, "jupyterlab-plot")
    [kept] = (work / "hopslite_project" / "Experiments").glob("*/program.ipynb")
    assert [cell.source for cell in nbformat.read(kept, 4).cells] == [cell.strip() for cell in CELLS]
