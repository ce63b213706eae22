"""MLflow, TensorBoard and JupyterLab in a real browser.

What the pages look like is kept in `build/screenshots/`.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

from hopslite import experiment, plots
from hopslite.storage.run_directory import RunDir
from tests.helpers.browser import SECONDS, START_SECONDS, keep, served
from tests.helpers.observe import eventually, text_of
from tests.helpers.programs import Program
from tests.helpers.servers import free_port, read_mlflow

pytestmark = pytest.mark.slow("browser")

if TYPE_CHECKING:
    from playwright.sync_api import Page


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
RUNS = """
import json
import threading
import hopslite
from hopslite import experiment

def train(rate):
    for step in range(5):
        hopslite.report(rate * step, step=step)
    return rate

addresses = []
for name in ("first", "second"):
    run = experiment.grid_search(train, {"rate": [0.1, 0.2]}, direction="max", name=name, pool="inline")
    assert run.wait_until_tracked()
    addresses.append(run.tensorboard_url)
print("PAGES", json.dumps(addresses), flush=True)
threading.Event().wait()
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
    assert program.process.wait(START_SECONDS) == 0, text_of(program.err)  # it waits for MLflow
    return program.runs()[0]


def loaded(page: Page, image: str) -> bool:
    """True if an image exists and is complete."""
    pictures = page.locator(image)
    return bool(pictures.count()) and bool(pictures.first.evaluate("image => image.complete && image.naturalWidth > 1"))


def shows_trials(page: Page) -> None:
    """MLflow shows trials in its prepared view, with columns for parameters and the metric."""
    page.set_viewport_size({"width": 1920, "height": 800})  # columns beyond the page's edge are not in its document
    for text in ("0000", "0001", "rate", "units", "accuracy"):
        page.locator(".ag-root").get_by_text(text, exact=True).first.wait_for()
    keep(page, "mlflow-prepared-view")
    page.set_viewport_size({"width": 1280, "height": 800})


def test_a_run_in_mlflow(searching: Program, page: Page) -> None:
    project = searching.folder / "hopslite_project"
    eventually(lambda: [*project.glob("Experiments/*/mlflow.json")], "MLflow is told of the run", START_SECONDS)
    [run] = searching.runs()
    eventually(lambda: run.read_json("mlflow.json").get("view"), "MLflow has the run and its view", START_SECONDS)
    with served(searching.folder, "hopslite.cli", "ui", "--no-browser", HOPSLITE_TRACKING_URI="") as address:
        page.goto(address)
        shows_trials(page)
        mlflow = run.read_json("mlflow.json")
        root = f"{address.partition('#')[0]}#/experiments/{mlflow['experiment_id']}/runs"

        page.goto(f"{root}/{mlflow['run_id']}")
        page.get_by_role("link", name="0000", exact=True).click()
        page.get_by_text("Running", exact=True).wait_for()
        page.get_by_role("tab", name="Model metrics").click()
        page.get_by_text("accuracy", exact=True).first.wait_for()
        trial = page.url.partition("/model-metrics")[0]
        points = page.locator(".scatterlayer .point")
        eventually(lambda: points.count() == 6, "the curve of six reports", SECONDS)
        keep(page, "mlflow-live")

        directory = has_ended(searching)
        # twelve reports, and the result, which differs from the last of them
        eventually(lambda: points.count() == 13, "the curve has grown without a reload", SECONDS)
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
        page.locator("td", has_text=re.compile("^0.1, 0.2$")).wait_for()  # the search space
        assert page.get_by_text("enough", exact=True).evaluate("node => node.tagName") == "EM"
        tensorboard = directory.read_json("run.json")["tensorboard_url"]
        assert page.get_by_role("link", name=tensorboard, exact=True).get_attribute("href") == tensorboard
        keep(page, "mlflow-run")
        page.goto(address)
        shows_trials(page)
        trials = [
            run.info.run_id for name, run in read_mlflow(f"sqlite:///{project}/mlflow.db", "live").items() if name
        ]
        page.goto(f"{root.partition('#')[0]}#/compare-runs?runs={json.dumps(trials)}&experiments=[%221%22]")
        page.get_by_text("Parallel Coordinates Plot").first.wait_for()
        page.locator(".parcoords").first.wait_for()
        keep(page, "mlflow-comparison")
        page.goto(f"{root.partition('#')[0]}#/models")
        page.get_by_role("link", name="drawn model").wait_for()
        # drawn at idle priority, so after anything else; the page does not look again
        plots_in_mlflow = project / "mlartifacts"
        eventually(lambda: [*plots_in_mlflow.glob("*/*/artifacts/plots/*")], "the plots are in MLflow", START_SECONDS)
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


def test_runs_of_a_program_that_goes_on_in_tensorboard(tmp_path: Path, page: Page) -> None:
    program = Program(tmp_path, RUNS, HOPSLITE_TRACKING_URI="off", HOPSLITE_TENSORBOARD="1", HOPSLITE_PLOTS="0")
    try:
        addresses = program.said("PAGES")
        page.goto(f"{addresses[0]}#hparams")
        for text in ("0000", "0001", "rate", "Hyperparameters"):
            page.get_by_text(text).first.wait_for()
        assert page.title() == "first v1"
        keep(page, "tensorboard-run-hparams")
        page.goto(f"{addresses[1]}#timeseries")
        page.get_by_text("metric", exact=True).first.wait_for()
        page.get_by_text("trials/0001").first.wait_for()
        keep(page, "tensorboard-run-curves")
        page.goto(addresses[0].rsplit("/", 2)[0])
        page.get_by_role("link", name="first v1").wait_for()
        page.get_by_role("link", name="second v1").click()
        page.get_by_text("metric", exact=True).first.wait_for()
        assert page.url.startswith(addresses[1])
    finally:
        program.kill()


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


def test_the_report_of_a_run_is_interactive_offline(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOPSLITE_PROJECT", str(tmp_path / "project"))
    run = experiment.grid_search(
        lambda x, y: x * y, {"x": [1, 2, 3], "y": [1, 2, 3]}, name="report", pool="inline", display=False
    )
    plots.save(run)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.context.set_offline(True)
    page.goto(f"file://{run.logdir}/plots/index.html")
    for name in ("best_so_far", "importance", "parallel_coordinates", "slice", "contour", "edf", "timeline"):
        page.locator(f"#{name} .interactive .main-svg").first.wait_for()
        assert not page.locator(f"#{name} img").is_visible()
    page.locator("#timeline").scroll_into_view_if_needed()
    bar = page.locator("#timeline .bars path").nth(4).bounding_box()
    assert bar is not None
    page.mouse.move(bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] / 2)
    page.locator("#timeline .hoverlayer").get_by_text(re.compile(r"trial 000\d")).first.wait_for()
    assert problems == []
    keep(page, "report")
