"""Creates the boto3 clients of a process: for requests, and for signing URLs with the public host name."""

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
    """Location of the store and connection settings; timeouts in seconds.

    Endpoints are None for AWS. A request is sent up to `attempts` times. `credentials` are (key id, secret),
    or None for the SDK's provider chain.
    """

    bucket: str
    region: str
    endpoint: str | None = None
    public_endpoint: str | None = None
    path_style: bool = False
    pool_size: int = 32
    connect_timeout: int = 5
    read_timeout: int = 60
    attempts: int = 3
    credentials: tuple[str, str] | None = field(default=None, repr=False)


class StoreClients:
    """Creates the clients on first use in each process, so that none is shared across a fork."""

    def __init__(self, address: StoreAddress) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._clients: _ProcessClients | None = None
        self._pid = 0

    @property
    def requests(self) -> S3Client:
        """The client for requests to the store."""
        return self._for_this_process().requests

    @property
    def requests_once(self) -> S3Client:
        """Like `requests`, but without retries."""
        return self._for_this_process().requests_once

    @property
    def signing(self) -> S3Client:
        """The client that presigns URLs with the host name that browsers use."""
        return self._for_this_process().signing

    def signing_credentials(self) -> ReadOnlyCredentials:
        """Return the current key id, secret and session token of `signing`, refreshed if they expire."""
        return self._for_this_process().signing_credentials()

    def request_credentials(self) -> ReadOnlyCredentials:
        """Like `signing_credentials`, of `requests`."""
        return self._for_this_process().request_credentials()

    def _for_this_process(self) -> _ProcessClients:
        with self._lock:
            if self._clients is None or self._pid != os.getpid():
                self._clients, self._pid = _ProcessClients(self.address), os.getpid()
            return self._clients


class _ProcessClients:
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
        return _current_credentials(self._signing[1])

    def request_credentials(self) -> ReadOnlyCredentials:
        return _current_credentials(self._session)


def _current_credentials(session: boto3.session.Session) -> ReadOnlyCredentials:
    credentials = session.get_credentials()
    if credentials is None:
        raise NoCredentialsError
    return credentials.get_frozen_credentials()


def _make_session(address: StoreAddress) -> boto3.session.Session:
    key_id, secret = address.credentials or (None, None)
    return boto3.session.Session(key_id, secret, region_name=address.region)


def _make_client(
    session: boto3.session.Session, address: StoreAddress, endpoint: str | None, attempts: int | None = None
) -> S3Client:
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if address.path_style else "virtual"},
        max_pool_connections=address.pool_size,
        connect_timeout=address.connect_timeout,
        read_timeout=address.read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts or address.attempts},
        # S3-compatible stores reject the SDK's default CRC trailers, and AWS_ENDPOINT_URL may set a custom
        # endpoint without our knowledge, so send checksums only where S3 requires them.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return session.client("s3", endpoint_url=endpoint, config=config)
