"""S3 by way of s3fs, with a bounded wait, no bucket made by the way, and errors that name the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fsspec.asyn import sync_wrapper
from s3fs import S3FileSystem
from s3fs.core import S3_RETRYABLE_ERRORS

from ...errors import StoreError

__all__ = ["S3", "open_s3"]

# A server that does not answer is given up on after ATTEMPTS times READ_SECONDS, and once more when a file is read.
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 14, 2
SLOWEST = 1e5  # bytes in a second, below which a server counts as one that does not answer
SLOW = {"complete_multipart_upload": 600.0, "copy_object": 600.0, "upload_part_copy": 600.0}  # what may take seconds
CONFLICTS = 5  # how often a new file is written again when S3 says that others are writing it at this moment


def open_s3(url: str) -> tuple[S3, str]:
    _, _, path = url.partition("://")
    if "@" in path.partition("/")[0]:
        raise ValueError("credentials do not belong in a URL; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    options = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "signature_version": "s3v4",  # of signed addresses, too: encrypted buckets and newer regions want it
        "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
    }
    return S3(config_kwargs=options, use_listings_cache=False), path


class S3(S3FileSystem):  # type: ignore[misc]
    """s3fs's file system without a cache of listings, and with one request for each file that is read."""

    retries = 1  # botocore does it

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._seen: set[str] = set()  # buckets that are there

    async def _mkdir(self, path: str, acl: Any = False, create_parents: bool = True, **options: Any) -> None:
        """Make a bucket when it is named itself; a directory in it needs nothing but the bucket."""
        path = self._strip_protocol(path).rstrip("/")
        bucket, key, _ = self.split_path(path)
        if not key:
            await super()._mkdir(path, acl, create_parents, **options)
        elif bucket not in self._seen:
            await self._call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{key}/", MaxKeys=1)
            self._seen.add(bucket)

    mkdir = sync_wrapper(_mkdir)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        try:
            await self._mkdir(path)
        except FileExistsError:
            if not exist_ok:
                raise

    makedirs = sync_wrapper(_makedirs)

    async def _call_s3(self, method: str, *args: Any, **options: Any) -> Any:
        # botocore's own limits do not count while it waits for a server that is to say whether it wants the content.
        body = options.get("Body")
        seconds = ATTEMPTS * READ_SECONDS + 2 + SLOW.get(method, len(body) / SLOWEST if isinstance(body, bytes) else 0)
        for turn in range(CONFLICTS):
            try:
                return await asyncio.wait_for(super()._call_s3(method, *args, **options), seconds)
            except asyncio.TimeoutError as error:
                bucket = options.get("Bucket")
                raise StoreError(f"{self._server} has not answered for {seconds:.0f} s (bucket {bucket!r})") from error
            except OSError as error:
                code = _code(error)
                if code != "ConditionalRequestConflict" or turn == CONFLICTS - 1:
                    translated = self._translated(error, code, options)
                    if translated is error:
                        raise
                    raise translated from error
                await asyncio.sleep(0.1 * 2**turn)
        raise AssertionError("the last turn returns or raises")

    @property
    def _server(self) -> str:
        return str(self._s3.meta.endpoint_url) if self._s3 is not None else "S3"

    def _translated(self, error: OSError, code: str, options: dict[str, Any]) -> OSError:
        """Error that names the server, where that helps."""
        bucket, server = options.get("Bucket"), self._server
        if code in ("PreconditionFailed", "412") and "IfNoneMatch" in options:
            return FileExistsError(f"{bucket}/{options.get('Key')} is there already")
        if code == "NoSuchBucket":
            return FileNotFoundError(f"there is no bucket {bucket!r} at {server}")
        if isinstance(error, PermissionError):
            return PermissionError(f"{server} refuses access to {bucket!r}: {error}")
        return error

    async def _iterdir(self, *args: Any, **options: Any) -> AsyncIterator[dict[str, Any]]:
        """Listing without the empty objects by which consoles and some servers mark a directory."""
        async for entry in super()._iterdir(*args, **options):
            if not entry["name"].endswith("/"):
                yield entry

    async def _cat_file(self, path: str, *args: Any, **options: Any) -> bytes:
        options["max_concurrency"] = 1  # several requests could meet several versions of the file
        try:
            return bytes(await super()._cat_file(path, *args, **options))
        except S3_RETRYABLE_ERRORS:
            return bytes(await super()._cat_file(path, *args, **options))


def _code(error: BaseException) -> str:
    """S3's code of an error; "" when it was not S3's."""
    response = getattr(error.__cause__, "response", None)  # of a botocore.exceptions.ClientError
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
