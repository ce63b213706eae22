"""Fast reads from S3 and HDFS that bypass their fsspec file systems.

s3fs spends some 2 ms of a processor on a request, most of it on finding out anew where the bucket is and how to ask
for it; plain HTTP, signed by botocore, costs a fifth of that. On HDFS a stretch of a file is one stream with one
bounded wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qs, quote

from fsspec import AbstractFileSystem
from fsspec.asyn import sync

from .file_info import FileInfo
from .ranged_download import write_at

__all__ = ["FastReader", "fast_reader", "is_hdfs"]

CONNECT_SECONDS, WAIT_SECONDS = 5.0, 30.0
CONNECTIONS = 32
READ = 1 << 20
ENCRYPTION = "x-amz-server-side-encryption"
FAILURES = 3  # after which it is not tried any more
STRETCH = 128 << 20  # of a large file on HDFS, which sends it as a stream; more than two at once are no faster
STREAMS = 2


class FastReader(Protocol):
    """Reader of whole files and ranges. Safe from many threads; close it in the end.

    `piece` is how much of a large file to ask for at once, and `streams` how many pieces at a time; None: any. With
    `is_encrypted`, what the store gives out as the MD5 of a file is none.
    """

    piece: int | None
    streams: int | None
    is_encrypted: bool

    def get_all(self, files: Sequence[FileInfo]) -> list[bytes | None]:
        """The contents of several files; None for those that cannot be had this way."""

    def copy(self, path: str, begin: int, end: int, file: int, is_unwanted: Callable[[], bool]) -> int | None:
        """Copy what a file holds from `begin` to `end` to the same place in a local one; returns how much it was.

        None when it cannot be had this way: something may have been written then.

        Args:
            file: the descriptor of the local file.
            is_unwanted: returns True to end early.
        """

    def close(self) -> None:
        """Close connections."""


def fast_reader(fs: AbstractFileSystem) -> FastReader:
    if is_hdfs(fs):
        return _Hdfs(fs)
    return _Signed(fs) if "s3" in fs.protocol and not urllib.request.getproxies() else _Never()


def is_hdfs(fs: AbstractFileSystem) -> bool:
    return fs.protocol in ("hdfs", "viewfs")


class _Never:
    piece: int | None = None
    streams: int | None = None
    is_encrypted = False

    def get_all(self, files: Sequence[FileInfo]) -> list[bytes | None]:
        return [None] * len(files)

    def copy(self, path: str, begin: int, end: int, file: int, is_unwanted: Callable[[], bool]) -> int | None:
        return None

    def close(self) -> None:
        pass


class _Signed:
    """Signed GET requests to S3, on the event loop of s3fs and with its credentials."""

    piece: int | None = None
    streams: int | None = None

    def __init__(self, fs: AbstractFileSystem) -> None:
        self.is_encrypted = False
        self._fs = fs
        self._failures = 0
        self._session: Any = None
        self._buckets: dict[str, tuple[str, str]] = {}  # the address and the region of each

    def get_all(self, files: Sequence[FileInfo]) -> list[bytes | None]:
        async def get(info: FileInfo) -> bytes | None:
            pieces: list[bytes] = []
            count = await self._receive(info.path, 0, info.size, lambda _, data: pieces.append(data))
            return None if count is None else b"".join(pieces)

        async def get_contents() -> list[bytes | None]:
            return await asyncio.gather(*map(get, files))

        contents: list[bytes | None] = sync(self._fs.loop, get_contents)
        return contents

    def copy(self, path: str, begin: int, end: int, file: int, is_unwanted: Callable[[], bool]) -> int | None:
        own = os.dup(file)  # of the coroutine that is waited for, which may go on when nobody does any more

        def write(at: int, data: bytes) -> None:
            if is_unwanted():
                raise InterruptedError
            write_at(own, at, data)

        async def receive() -> int | None:
            try:
                return await self._receive(path, begin, end, write)
            finally:
                os.close(own)

        count: int | None = sync(self._fs.loop, receive)
        return count

    async def _receive(self, path: str, begin: int, end: int, take: Callable[[int, bytes], None]) -> int | None:
        if self._failures >= FAILURES or begin >= end:
            return None
        try:
            import yarl

            headers = {"Range": f"bytes={begin}-{end - 1}", "Accept-Encoding": "identity"}
            url, headers = await self._signed(path, headers)
            session = self._connected(url)
            async with session.get(yarl.URL(url, encoded=True), headers=headers, allow_redirects=False) as answer:
                if answer.status == 206:
                    self.is_encrypted |= answer.headers.get(ENCRYPTION, "").startswith("aws:kms")
                    at = begin
                    async for data in answer.content.iter_any():
                        if at + len(data) > end:
                            raise ValueError("more than was asked for")
                        take(at, data)
                        at += len(data)
                    if at == end:
                        return end - begin
        except Exception:  # noqa: BLE001 - s3fs has a try, and says what is wrong
            pass
        self._failures += 1
        return None

    async def _signed(self, path: str, headers: dict[str, str]) -> tuple[str, dict[str, str]]:
        """URL and headers of a signed request."""
        from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
        from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]

        bucket, _, key = path.partition("/")
        if bucket not in self._buckets:
            example, _, signature = (await self._fs._url(f"{bucket}/key")).partition("?")
            region = parse_qs(signature)["X-Amz-Credential"][0].split("/")[-3]
            self._buckets[bucket] = example.removesuffix("key"), region
        address, region = self._buckets[bucket]
        request = AWSRequest("GET", address + quote(key, safe="/~"), headers)
        credentials = await self._fs.session.get_credentials()
        S3SigV4Auth(await credentials.get_frozen_credentials(), "s3", region).add_auth(request)
        return request.url, dict(request.headers)

    def _connected(self, url: str) -> Any:
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=_trust() if url.startswith("https:") else True),
                timeout=aiohttp.ClientTimeout(None, sock_connect=CONNECT_SECONDS, sock_read=WAIT_SECONDS),
                read_bufsize=READ,
                auto_decompress=False,  # an object is its bytes, whatever their encoding is called
            )
        return self._session

    def close(self) -> None:
        if self._session is not None:
            sync(self._fs.loop, self._session.close)


class _Hdfs:
    piece: int | None = STRETCH
    streams: int | None = STREAMS
    is_encrypted = False

    def __init__(self, fs: AbstractFileSystem) -> None:
        self._fs = fs

    def get_all(self, files: Sequence[FileInfo]) -> list[bytes | None]:
        return [self._get(info) for info in files]

    def _get(self, info: FileInfo) -> bytes | None:
        bounded = self._fs.client.inner

        def read(length: int) -> bytes:
            reader = bounded._inner.read(info.path)
            length = min(length, reader.file_length())
            return bytes(reader.read_range(0, length)) if length > 0 else b""

        with contextlib.suppress(Exception):  # the file system has a try
            return bytes(bounded._result(read, "read_range", info.size))
        return None

    def copy(self, path: str, begin: int, end: int, file: int, is_unwanted: Callable[[], bool]) -> int | None:
        bounded = self._fs.client.inner
        own = os.dup(file)  # of the thread that is waited for, which may go on when nobody does any more
        trouble: list[OSError] = []

        def copy(length: int) -> int:
            at = begin
            try:
                reader = bounded._inner.read(path)
                length = min(length, reader.file_length() - begin)
                for piece in reader.read_range_stream(begin, length) if length > 0 else ():
                    try:
                        write_at(own, at, piece)
                    except OSError as error:
                        trouble.append(error)
                        break
                    at += len(piece)
                    if is_unwanted():
                        break
            finally:
                os.close(own)
            return at - begin

        count = int(bounded._result(copy, "read_range", end - begin))
        if trouble:
            raise trouble[0]
        return count

    def close(self) -> None:
        pass


def _trust() -> ssl.SSLContext:
    """TLS context with the certificates that botocore would trust."""
    from botocore.httpsession import get_cert_path  # type: ignore[import-untyped]

    own = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE")
    return ssl.create_default_context(cafile=own or get_cert_path(True))
