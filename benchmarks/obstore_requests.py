"""obstore compared with s3fs as hopslite uses it: requests to an S3 on this machine, in turn.

    python benchmarks/obstore_requests.py [--repeats R] [--megabytes M] [--files N]

Downloads by `hopslite.storage.fs.transfer` verify MD5 checksums; the reads by obstore do not.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from _common import listed, median, seconds, table
from obstore.store import S3Store

sys.path.append(str(Path(__file__).parents[1]))

from hopslite.storage.fs.open import open_url
from hopslite.storage.fs.transfer import download, download_tree
from tests.helpers.stores import S3, running

CALLS, LISTINGS, AT_ONCE, RANGE = 200, 50, 16, 16 << 20
Pair = tuple[Callable[[], Any], Callable[[], Any]]


def repeated(call: Callable[[int], Any], count: int = CALLS) -> Callable[[], None]:
    def work() -> None:
        for number in range(count):
            call(number)

    return work


def small_files(store: Any, prefix: str, target: Path) -> None:
    target.mkdir()

    def read(path: str) -> None:
        (target / Path(path).name).write_bytes(store.get(path).bytes())

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(read, [entry["path"] for entry in store.list(prefix).collect()]))


def large_file(store: Any, path: str, target: Path) -> None:
    size = store.head(path)["size"]
    with open(target, "wb") as file, ThreadPoolExecutor(AT_ONCE) as threads:

        def read(begin: int) -> None:
            os.pwrite(file.fileno(), store.get_range(path, start=begin, end=min(size, begin + RANGE)), begin)

        list(threads.map(read, range(0, size, RANGE)))


def pairs(fs: Any, store: Any, folder: Path, megabytes: int, files: int) -> dict[str, Pair]:
    root, data, fresh = f"{S3.BUCKET}/b", os.urandom(1 << 20), itertools.count()
    (folder / "large").write_bytes(data * megabytes)
    store.put("b/large", folder / "large")
    for number in range(files):
        store.put(f"b/small/{number:04d}", data[: 10 << 10])

    def new() -> Path:
        return folder / f"copy-{next(fresh)}"

    return {
        f"{files} files of 10 KB": (
            lambda: download_tree(fs, f"{root}/small", str(new())),
            lambda: small_files(store, "b/small", new()),
        ),
        f"{megabytes} MB in one file": (
            lambda: download(fs, f"{root}/large", str(new())),
            lambda: large_file(store, "b/large", new()),
        ),
        f"{CALLS} writes of 1 KB": (
            repeated(lambda number: fs.pipe_file(f"{root}/puts/{number}", data[:1024])),
            repeated(lambda number: store.put(f"b/puts/{number}", data[:1024])),
        ),
        f"{CALLS} reads of 1 KB": (
            repeated(lambda number: fs.cat_file(f"{root}/puts/{number}")),
            repeated(lambda number: bytes(store.get(f"b/puts/{number}").bytes())),
        ),
        f"{CALLS} creations": (
            repeated(lambda _: fs.pipe_file(f"{root}/new/{next(fresh)}", b"x", mode="create")),
            repeated(lambda _: store.put(f"b/new/{next(fresh)}", b"x", mode="create")),
        ),
        f"{LISTINGS} listings of {CALLS} files": (
            repeated(lambda _: fs.ls(f"{root}/puts", detail=False), LISTINGS),
            repeated(lambda _: store.list_with_delimiter("b/puts"), LISTINGS),
        ),
    }


def compared(name: str, pair: Pair, repeats: int) -> list[Any]:
    times: tuple[list[float], list[float]] = ([], [])
    processor: tuple[list[float], list[float]] = ([], [])
    for number in range(repeats + 1):
        for index, call in enumerate(pair):
            before = time.process_time()
            wall = seconds(call)
            if number:  # the first round connects
                times[index].append(wall)
                processor[index].append(time.process_time() - before)
    ours, other = median(times[0]), median(times[1])
    costs = [median(values) for values in processor]
    return [name, ours, other, f"{ours / other:.1f}", *costs, listed(times[0], 2), listed(times[1], 2)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--files", type=int, default=1000)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=os.getcwd(), prefix="work-"))
    (folder / "server").mkdir()
    try:
        with running(lambda: S3(folder / "server")) as server:
            os.environ.update(server.environment)
            fs, _ = open_url(server.fresh())
            limits = {"allow_http": True, "timeout": "60s", "connect_timeout": "5s"}
            store = S3Store(S3.BUCKET, client_options=limits, retry_config={"max_retries": 1})
            rows = [
                compared(name, pair, options.repeats)
                for name, pair in pairs(fs, store, folder, options.megabytes, options.files).items()
            ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    head = ["what", "s3fs, s", "obstore, s", "times as fast", "s3fs, processor s", "obstore, processor s"]
    table("Requests to S3", [*head, "s3fs, each round", "obstore, each round"], rows)


if __name__ == "__main__":
    main()
