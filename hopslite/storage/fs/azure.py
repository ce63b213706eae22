"""Azure Blob Storage by way of adlfs, with bounded waits and listings that are never remembered."""

from __future__ import annotations

from adlfs import AzureBlobFileSystem
from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

__all__ = ["Azure", "open_azure"]

# A server that does not answer is given up on after ATTEMPTS times READ_SECONDS.
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 14, 2


def open_azure(url: str) -> tuple[Azure, str]:
    options = Azure._get_kwargs_from_urls(url)
    return Azure(**options, use_listings_cache=False), str(Azure._strip_protocol(url))


class Azure(AzureBlobFileSystem):  # type: ignore[misc]
    """adlfs's file system, which by itself tries each request for a minute and a half."""

    service_client: BlobServiceClient

    def do_connect(self) -> None:
        super().do_connect()
        self.service_client = BlobServiceClient(
            self.service_client.url,
            self.service_client.credential,
            retry_policy=ExponentialRetry(initial_backoff=1, increment_base=1, retry_total=ATTEMPTS - 1),
            connection_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
        )
