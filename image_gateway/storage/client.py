"""The one boto3 client of a process, and the one that signs URLs for the host browsers use."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class StoreAddress:
    """Where the store is and how to talk to it.

    Endpoints are None for AWS itself; `credentials` (key id, secret) None for the SDK's provider chain.
    """

    bucket: str
    region: str
    endpoint: str | None = None
    public_endpoint: str | None = None
    path_style: bool = False
    pool_size: int = 32
    connect_timeout: int = 5
    read_timeout: int = 60
    credentials: tuple[str, str] | None = field(default=None, repr=False)


class StoreClients:
    """Makes the clients when they are first used in a process, so never before a fork."""

    def __init__(self, address: StoreAddress) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._pair: _ClientPair | None = None
        self._pid = 0

    @property
    def requests(self) -> S3Client:
        """The client that talks to the store."""
        return self._for_this_process().requests

    @property
    def requests_once(self) -> S3Client:
        """As `requests`, but without a second try."""
        return self._for_this_process().requests_once

    @property
    def signing(self) -> S3Client:
        """The client whose presigned URLs name the host that browsers reach."""
        return self._for_this_process().signing

    def signing_credentials(self) -> ReadOnlyCredentials:
        """The key id, secret and session token of `signing` now, refreshed where they expire."""
        return self._for_this_process().signing_credentials()

    def _for_this_process(self) -> _ClientPair:
        with self._lock:
            if self._pair is None or self._pid != os.getpid():
                self._pair, self._pid = _ClientPair(self.address), os.getpid()
            return self._pair


class _ClientPair:
    def __init__(self, address: StoreAddress) -> None:
        self._address = address
        self._session = _make_session(address)
        self.requests = _make_client(self._session, address, address.endpoint)

    @cached_property
    def requests_once(self) -> S3Client:
        return _make_client(_make_session(self._address), self._address, self._address.endpoint, attempts=1)

    @cached_property
    def _signing(self) -> tuple[S3Client, boto3.session.Session]:
        public = self._address.public_endpoint
        if not public:
            return self.requests, self._session
        session = _make_session(self._address)
        return _make_client(session, self._address, public), session

    @property
    def signing(self) -> S3Client:
        return self._signing[0]

    def signing_credentials(self) -> ReadOnlyCredentials:
        credentials = self._signing[1].get_credentials()
        if credentials is None:
            raise NoCredentialsError
        return credentials.get_frozen_credentials()


def _make_session(address: StoreAddress) -> boto3.session.Session:
    key_id, secret = address.credentials or (None, None)
    return boto3.session.Session(key_id, secret, region_name=address.region)


def _make_client(
    session: boto3.session.Session, address: StoreAddress, endpoint: str | None, attempts: int = 3
) -> S3Client:
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if address.path_style else "virtual"},
        max_pool_connections=address.pool_size,
        connect_timeout=address.connect_timeout,
        read_timeout=address.read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        # Other stores reject the SDK's default CRC trailers, and a custom endpoint may come from the
        # environment (AWS_ENDPOINT_URL) unseen: only send checksums where S3 demands them.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return session.client("s3", endpoint_url=endpoint, config=config)
