"""Projects and files on S3 and HDFS: what a trial costs there, and how fast files come from there.

    python benchmarks/storage.py [--trials N] [--repeats R] [--megabytes M] [--files N]    # --trials 0: only the files

1. No-op trials on two executors, whose project is local, on SeaweedFS and on Hadoop's HDFS: trials a second, and
   requests a trial (HTTP requests to S3, counted by a proxy), each as the slope between a short and a long run.
2. A file of 1 GB to the local disk: `hdfs.copy_to_local`, and the file system's own package alone, in turn.
3. A directory of 1 000 files of 10 KB: `hdfs.copy_to_local`, and one file after the other.

The servers are those of the tests, on the same machine, so that every byte is also sent by this machine's processors.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from _common import listed, median, project, seconds, session, table

sys.path.append(str(Path(__file__).parents[1]))

from hopslite import experiment, hdfs
from hopslite.storage.fs.urls import forget_connections
from tests.helpers.proxy import Proxy
from tests.helpers.stores import S3, Hdfs, running

MASTER = "local-cluster[2,1,1024]"
METHODS = (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ")


class Counting(Proxy):
    """Counts the HTTP requests that pass by."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.requests: Counter[str] = Counter()
        super().__init__(target)

    def passes(self, data: bytes) -> None:
        if data.startswith(METHODS):
            self.requests[data.split(b" ", 1)[0].decode()] += 1


def no_op(x: int) -> int:
    return x


@contextlib.contextmanager
def reached(server: Any, **changed: str) -> Iterator[None]:
    """This process reaches a server."""
    before = dict(os.environ)
    os.environ.update({**server.environment, **changed})
    forget_connections()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        forget_connections()


def run_of(trials: int, folder: str, spark: Any) -> float:
    return seconds(
        lambda: experiment.launch(
            no_op, {"x": list(range(trials))}, project=folder, spark=spark, tracking_uri="off", display=False
        )
    )


def trials_on(places: dict[str, Callable[[], str]], proxy: Counting, trials: int, repeats: int) -> list[list[Any]]:
    few = max(2, trials // 10)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in places}
    with session(MASTER) as spark:
        for fresh in places.values():
            run_of(4, fresh(), spark)  # warm
        for _ in range(repeats):
            for name, fresh in places.items():
                before = proxy.requests.total()
                short = run_of(few, fresh(), spark)
                between = proxy.requests.total()
                long = run_of(trials, fresh(), spark)
                requests = (proxy.requests.total() - between) - (between - before)
                found[name].append(((trials - few) / (long - short), requests / (trials - few)))
    rows = []
    for name, results in found.items():
        rates = [rate for rate, _ in results]
        requests = f"{median([count for _, count in results]):.2f}" if name == "S3" else ""
        rows.append([name, f"{median(rates):.0f}", listed(rates, 0), requests])
    return rows


def copying(url: str, alone: Callable[[Any, str, str], None], repeats: int) -> tuple[list[float], list[float]]:
    """Seconds of `copy_to_local` and of the package alone, in turn."""
    ours, theirs = [], []
    fs, path = plain(url)
    alone(fs, path, _new("warm"))
    for _ in range(repeats):
        theirs.append(seconds(lambda: alone(fs, path, _new("alone"))))
        folder = _new("ours")
        os.mkdir(folder)
        ours.append(seconds(lambda: hdfs.copy_to_local(url, folder)))  # noqa: B023 - it is called at once
    return ours, theirs


_place = tempfile.TemporaryDirectory(dir=os.getcwd(), prefix="work-", ignore_cleanup_errors=True)


def _new(name: str) -> str:
    """A path at which nothing is."""
    target = os.path.join(_place.name, name)
    if os.path.isdir(target):
        shutil.rmtree(target)
    elif os.path.exists(target):
        os.unlink(target)
    return target


def plain(url: str) -> tuple[Any, str]:
    """The package's own file system, and the path on it."""
    if url.startswith("s3://"):
        from s3fs import S3FileSystem

        return S3FileSystem(), url.removeprefix("s3://")
    from hdfs_native.fsspec import HdfsFileSystem

    address = urlsplit(url)
    return HdfsFileSystem(address.hostname, address.port), address.path


def get(fs: Any, path: str, target: str) -> None:
    fs.get(path, target)


def each_by_get(fs: Any, path: str, target: str) -> None:
    os.makedirs(target)
    for name in fs.find(path):
        fs.get(name, os.path.join(target, os.path.basename(name)))


def each_by_get_file(fs: Any, path: str, target: str) -> None:
    """Without what `get` does first: asking whether it is a directory."""
    os.makedirs(target)
    for name in fs.find(path):
        fs.get_file(name, os.path.join(target, os.path.basename(name)))


def filled(folder: str, megabytes: int, files: int) -> tuple[str, str]:
    """The URLs of a large file and of a directory of small ones, once they are there."""
    local = Path(_place.name) / "source"
    (local / "small").mkdir(parents=True, exist_ok=True)
    piece = os.urandom(1 << 20)
    with open(local / "large", "wb") as file:
        for _ in range(megabytes):
            file.write(piece)
    for number in range(files):
        (local / "small" / f"{number:04d}").write_bytes(piece[: 10 << 10])
    hdfs.copy_to_hdfs(str(local / "large"), f"{folder}/")
    hdfs.copy_to_hdfs(str(local / "small"), f"{folder}/")
    return f"{folder}/large", f"{folder}/small"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--files", type=int, default=1000)
    options = parser.parse_args()
    folders = [Path(tempfile.mkdtemp(dir=_place.name)) for _ in range(2)]
    with running(lambda: S3(folders[0])) as s3, running(lambda: Hdfs(folders[1])) as hadoop, project() as local:
        proxy = Counting(("127.0.0.1", s3.port))
        address = f"http://127.0.0.1:{proxy.address[1]}"
        if options.trials:
            with reached(s3, AWS_ENDPOINT_URL=address, **hadoop.environment):
                places = {"local disk": lambda: local, "S3": s3.fresh, "HDFS": hadoop.fresh}
                rows = trials_on(places, proxy, options.trials, options.repeats)
            table(
                "No-op trials, 2 executors", ["project on", "trials a second", "each round", "requests a trial"], rows
            )
        rows = []
        for name, server, package in (("S3", s3, "s3fs"), ("HDFS", hadoop, "hdfs-native")):
            with reached(server):
                large, small = filled(server.fresh(), options.megabytes, options.files)
                for what, url, alone, peer in (
                    (f"{options.megabytes} MB in one file", large, get, f"{package}: get"),
                    (f"{options.files} files of 10 KB", small, each_by_get, f"{package}: get of each"),
                    (f"{options.files} files of 10 KB", small, each_by_get_file, f"{package}: get_file of each"),
                ):
                    ours, theirs = copying(url, alone, options.repeats)
                    ratio = f"{median(theirs) / median(ours):.2f}"
                    rows.append([name, what, peer, median(ours), median(theirs), ratio, listed(ours, 2)])
        head = ["store", "what", "beside", "copy_to_local, s", "the other, s", "times as fast", "each round, s"]
        table("Copying to the local disk", head, rows)
        proxy.close()


if __name__ == "__main__":
    main()
