"""What the dashboard costs, and how fast it is: the server's processor time, and pages in Chromium.

    python benchmarks/dashboard.py [--trials N] [--large N] [--pages N] [--seconds S] [--repeats R] [--events E]

1. The page of a run with 1 000 trials, and with 10 000: from the click to the first view (head and first chart drawn),
   with the scripts in the browser's cache; and how long the views take to answer to a selection.
2. Ten open pages of a run that goes on, whose journal grows by 100 events a second: the server's processor time as a
   share of a core, the time from an event to its point in the browser, and how long the driver's appends to the journal
   take, before the pages are open and while they are. The dashboard only reads files: nothing else slows a driver.
3. An hour's worth of events, 360 000, as fast as they can be shown: the browser's memory on the way.

Nothing runs: the journals are written as a driver would.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _common import listed, median, project, seconds, table

from hopslite.core.types import Event
from hopslite.storage.driver_lease import claim
from hopslite.storage.run_directory import RunDir
from tests.helpers.browser import chromium, served
from tests.helpers.recorded_runs import append, recorded_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

VIEW = "document.querySelector('.hl-run')?.view"
FIRST_VIEW = f"{VIEW}?.store.run && {VIEW}.views.some((view) => view.chart !== undefined)"
SELECT = f"""
async (share) => {{
  const view = {VIEW}, ids = view.store.list.filter((_, at) => at % share === 0).map((trial) => trial.id);
  const began = performance.now();
  view.store.select(ids, null);
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  const took = performance.now() - began;
  view.store.select(null, null);
  return took;
}}
"""
PER_SECOND = 100
HOUR = 3600 * PER_SECOND
CHUNK = 3000
APPENDS = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--large", type=int, default=10_000)
    parser.add_argument("--pages", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--events", type=int, default=HOUR)
    options = parser.parse_args()
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    with project() as place, contextlib.ExitStack() as stack:
        runs = [
            recorded_run(place, name, count) for name, count in (("many", options.trials), ("large", options.large))
        ]
        going = recorded_run(place, "going", 0, state="RUNNING", total=None)
        lease = claim(going)
        stack.callback(lease.release)
        address = stack.enter_context(dashboard(place))
        browser = stack.enter_context(chromium())
        pages(browser, address, runs, options.repeats)
        live(browser, address, going, options.pages, options.seconds)
        memory(browser, address, going, options.events)


@contextlib.contextmanager
def dashboard(place: str) -> Iterator[str]:
    os.environ["HOPSLITE_PROJECT"] = place
    folder = Path(place).parent
    with served(folder, "hopslite.cli", "dashboard", "--no-browser", "--port", "8900") as address:
        yield address


def page_of(browser: Browser, address: str) -> Page:
    """A page of a browser that may see the dashboard."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(300_000)
    page = context.new_page()
    page.goto(address)
    page.get_by_role("link", name="many").first.wait_for()
    return page


def url_of(address: str, run: RunDir) -> str:
    return f"{address.partition('/?')[0]}/runs/{run.url.rpartition('/')[2]}"


def pages(browser: Browser, address: str, runs: list[RunDir], repeats: int) -> None:
    rows = []
    page = page_of(browser, address)
    for run in runs:
        times, answers = [], []
        for _ in range(repeats + 1):
            began = time.perf_counter()
            page.goto(url_of(address, run), wait_until="commit")
            page.wait_for_function(FIRST_VIEW)
            times.append(time.perf_counter() - began)
            page.wait_for_function(f"{VIEW}.table.api !== undefined")
            page.wait_for_timeout(500)
            answers.append(page.evaluate(SELECT, 3) / 1000)
        count = page.evaluate(f"{VIEW}.store.trials.size")
        data = page.request.get(url_of(address, run).replace("/runs/", "/api/runs/")).body()
        rows.append([f"{count} trials", summary(times[1:], 2), summary(answers[1:], 3), f"{len(data) / 1e6:.1f} MB"])
    table("Pages of runs", ["page", "first view, s", "answer to a selection, s", "data"], rows)
    page.context.close()


def summary(values: list[float], digits: int) -> str:
    """The median, and the values of all rounds: on a busy machine the least is nearest to what it takes."""
    return f"{median(values):.{digits}f} ({listed(values, digits)})"


def live(browser: Browser, address: str, run: RunDir, count: int, length: float) -> None:
    append(run, [event for trial in range(8) for event in begin(trial)])
    append(run, [report(step, time.time()) for step in range(8)])
    alone = [seconds(lambda: append(run, [report(0, time.time())])) for _ in range(APPENDS)]
    watched = []
    opened = [page_of(browser, address) for _ in range(count)]
    for page in opened:
        page.goto(url_of(address, run))
        page.wait_for_function(FIRST_VIEW)
    server = process_on(8900)
    time.sleep(3.0)
    before, began, first = server.cpu_times(), time.perf_counter(), 8
    step = 0
    delays = []
    while time.perf_counter() - began < length:
        events = [report(first + step + at, time.time()) for at in range(PER_SECOND // 4)]
        watched += [seconds(functools.partial(append, run, [event])) for event in events]
        step += PER_SECOND // 4
        if step % PER_SECOND == 0:
            written = time.perf_counter()
            opened[0].wait_for_function(f"{shown()} >= {first + step - 1}", polling=20)
            delays.append(time.perf_counter() - written)
        time.sleep(max(0.0, began + step / PER_SECOND - time.perf_counter()))
    after, took = server.cpu_times(), time.perf_counter() - began
    used = after.user + after.system - before.user - before.system
    rows = [
        [
            count,
            f"{100 * used / took:.1f} %",
            f"{median(delays):.2f} s, at most {max(delays):.2f} s",
            f"{1e6 * median(alone):.0f} µs, {1e6 * median(watched):.0f} µs",
        ]
    ]
    table(
        "A run that goes on",
        [
            "open pages",
            f"server, share of a core at {step / took:.0f} events/s",
            "from the event to its point",
            "append to the journal without pages, with them",
        ],
        rows,
    )
    for page in opened:
        page.context.close()


def memory(browser: Browser, address: str, run: RunDir, events: int) -> None:
    page = page_of(browser, address)
    page.goto(url_of(address, run))
    page.wait_for_function(FIRST_VIEW)
    session = page.context.new_cdp_session(page)
    rows, first = [], 1_000_000
    for step in range(0, events, CHUNK):
        append(run, [report(first + step + at, time.time()) for at in range(CHUNK)])
        page.wait_for_function(f"{shown()} >= {first + step + CHUNK - 1}", polling=50)
        if step % max(CHUNK, events // 6 // CHUNK * CHUNK) == 0:
            session.send("HeapProfiler.collectGarbage")
            used = session.send("Runtime.getHeapUsage")["usedSize"]
            rows.append([step + CHUNK, f"{used / (1 << 20):.1f} MB"])
    table("Many events on one page", ["events", "memory of scripts"], rows)
    page.context.close()


def shown() -> str:
    """The newest step that the browser has."""
    return f"Math.max(-1, ...{VIEW}.store.list.flatMap((t) => [...t.curves.values()].map((c) => c[0].at(-1))))"


def begin(trial: int) -> Iterator[Event]:
    name = f"{trial:04d}"
    yield Event("asked", time.time(), name, {"params": {"rate": 0.1 / (trial + 1), "units": trial}})
    yield Event("started", time.time(), name, {"slot": trial, "host": "localhost", "attempt": 0})


def report(step: int, moment: float) -> Event:
    value = 1 - 1 / (step + 2)
    return Event("report", moment, f"{step % 8:04d}", {"step": step, "value": value, "metrics": {"accuracy": value}})


def process_on(port: int) -> Any:
    """The process that listens on a port."""
    for connection in psutil.net_connections("tcp"):
        if connection.laddr.port == port and connection.status == psutil.CONN_LISTEN and connection.pid:
            return psutil.Process(connection.pid)
    raise SystemExit(f"nothing listens on port {port}")


if __name__ == "__main__":
    main()
