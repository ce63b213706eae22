"""The display in a notebook: a real kernel, executed as a front end would."""

from __future__ import annotations

import collections

import nbclient
import nbformat
import pytest

from tests.helpers.observe import PATIENCE_S

SETUP = """
import itertools
from hopslite import display
from hopslite.core.types import Direction, State
from hopslite.display.notebook import Notebook
from hopslite.result import Run, Trial

assert type(display.choose()) is Notebook
nasty = "<script>alert(1)</script>"

def status(done, **more):
    return display.Status(name="digits", version=3, verb="grid_search", logdir="/p/run", total=20,
                          counts={State.FINISHED: done, State.RUNNING: 2}, direction=Direction.MAX, **more)

trials = [Trial("0000", {"lr": 0.1, "net": nasty}, State.FINISHED, 0.5, logdir="/t/0"),
          Trial("0001", {"lr": 0.2}, State.FAILED, error="ValueError: " + nasty, logdir="/t/1")]
run = Run(is_search=True, run_id="r", name="digits", version=3, verb="grid_search", logdir="/p/run",
          state=State.FINISHED, trials=trials, best_trial=trials[0], direction=Direction.MAX)
"""
LIVE = """
ticks = itertools.count(step={step})
shown = Notebook(clock=lambda: next(ticks))
shown.start(status(0))
for done in range(20):
    shown.update(status(done, best_params={{"net": nasty}}, best_metric=0.5, best_trial="0000", recent=tuple(trials),
                        tensorboard_url="http://127.0.0.1:1", mlflow_hint="javascript:alert(1)"))
    shown.line(f"line {{done}} {{nasty}}")
"""
CLOSE = """
shown.close(status(20, mlflow_hint="mlflow ui"), run)
for _ in range(20):
    shown.line("a late line")
"""
WHOLE = "run\n"


class Client(nbclient.NotebookClient):
    """Counts the messages that a front end gets."""

    def process_message(self, msg, cell, cell_index):
        self.seen[msg["msg_type"]] += 1
        return super().process_message(msg, cell, cell_index)


@pytest.fixture(scope="module")
def cells():
    sources = [SETUP, LIVE.format(step=1), LIVE.format(step=0.05) + CLOSE, WHOLE]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    client = Client(book, timeout=PATIENCE_S, kernel_name="python3")
    client.seen = collections.Counter()
    seen = []
    with client.setup_kernel():
        for index, cell in enumerate(book.cells):
            client.seen.clear()
            client.execute_cell(cell, index)
            seen.append(dict(client.seen))
    return book.cells, seen


def test_one_output_is_updated_in_place(cells):
    (_, live, *_), (_, messages, *_) = cells
    assert [output.output_type for output in live.outputs] == ["display_data"]
    assert messages["display_data"] == 1
    assert messages["update_display_data"] == 40
    data = live.outputs[0].data
    assert "19 of 20 trials done" in data["text/html"]
    assert "19 of 20 trials done, 2 running, best 0.5 (trial 0000)" in data["text/plain"]
    assert "line 19" in data["text/html"]
    assert "line 10 " in data["text/html"]
    assert "line 9 " not in data["text/html"]
    assert '<a href="http://127.0.0.1:1"' in data["text/html"]


def test_what_users_choose_is_escaped_and_only_web_addresses_are_links(cells):
    for cell in cells[0][1:]:
        shown = cell.outputs[0].data["text/html"]
        assert "<script" not in shown
        assert "&lt;script&gt;" in shown
        assert 'href="javascript' not in shown


def test_at_most_four_updates_a_second(cells):
    messages = cells[1][2]
    assert messages["display_data"] == 1
    assert 1 < messages["update_display_data"] <= 1 + 60 * 2 * 0.05 / 0.25


def test_it_ends_with_the_table_of_the_run(cells):
    (output,) = cells[0][2].outputs
    assert "0000 ★" in output.data["text/html"]
    assert "ValueError: " in output.data["text/html"]
    assert "20 of 20 trials done" in output.data["text/html"]
    assert "a late line" in output.data["text/html"]
    assert "mlflow ui" in output.data["text/html"]
    plain = output.data["text/plain"]
    assert "*  0000" in plain
    assert "run directory: /p/run" in plain


def test_a_run_as_the_value_of_a_cell(cells):
    (output,) = cells[0][3].outputs
    assert output.output_type == "execute_result"
    assert "0000 ★" in output.data["text/html"]
    assert output.data["text/plain"].startswith("digits version 3: grid_search, FINISHED\n")
