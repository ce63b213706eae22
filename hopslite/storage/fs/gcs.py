"""Google Cloud Storage by way of gcsfs, with bounded waits and listings that are never remembered."""

from __future__ import annotations

from typing import Any

import aiohttp
from gcsfs.core import GCSFileSystem
from gcsfs.retry import retry_request

__all__ = ["Gcs", "open_gcs"]

# A server that does not answer is given up on after ATTEMPTS times READ_SECONDS.
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 14, 2


def open_gcs(url: str) -> tuple[Gcs, str]:
    timeout = aiohttp.ClientTimeout(None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    return Gcs(requests_timeout=timeout, use_listings_cache=False), str(Gcs._strip_protocol(url))


class Gcs(GCSFileSystem):  # type: ignore[misc]
    """gcsfs's file system for flat buckets, which tries each request twice instead of for minutes.

    Its subclass for hierarchical buckets, gcsfs's default, asks for each bucket's kind by gRPC first, whose threads a
    forked process does not have.
    """

    _request = retry_request(GCSFileSystem._request.__wrapped__, retries=ATTEMPTS)

    def _open(self, path: str, mode: str = "rb", *args: Any, **options: Any) -> Any:
        if "a" in mode:  # gcsfs would warn, and replace the file
            raise NotImplementedError("objects on Google Cloud Storage cannot be appended to")
        return super()._open(path, mode, *args, **options)

    async def _call(self, method: str, path: str, *args: Any, **options: Any) -> Any:
        try:
            return await super()._call(method, path, *args, **options)
        except FileNotFoundError as error:
            if "/upload/" not in path:
                raise
            bucket = path.partition("/b/")[2].partition("/")[0]
            raise FileNotFoundError(f"the bucket {bucket!r} does not exist at {self._location}") from error
