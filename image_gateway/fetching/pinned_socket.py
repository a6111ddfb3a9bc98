"""Connects to addresses that were judged, with TLS that checks the certificate by the host's name."""

from __future__ import annotations

import socket
import ssl

from image_gateway.errors import FetchFailed, SourceRefused
from image_gateway.fetching.resolution import Address
from image_gateway.fetching.url_rules import FetchRules
from image_gateway.fetching.watchdog import Watchdog


class PinnedSocket:
    """A connected socket and its watchdog, after the TLS handshake if there is a context.

    Raises:
        SourceRefused: The certificate is not valid for the host's name.
        FetchFailed: No address accepted a connection, or the handshake failed.
    """

    def __init__(
        self, host: str, addresses: list[Address], rules: FetchRules, tls: ssl.SSLContext | None
    ) -> None:
        self._host = host
        plain = self._connect_to_any(addresses, rules.connect_seconds)
        try:
            self.socket = self._wrap(plain, tls) if tls else plain
        except BaseException:
            plain.close()
            raise
        self.watchdog = Watchdog(self.socket, min(rules.connect_seconds, rules.stall_seconds) / 4)
        try:
            if isinstance(self.socket, ssl.SSLSocket):
                self._shake_hands(self.socket, rules.connect_seconds)
            self.socket.settimeout(rules.stall_seconds)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the socket; may be called twice."""
        self.watchdog.stop()
        self.socket.close()

    def _connect_to_any(self, addresses: list[Address], seconds: float) -> socket.socket:
        for family, address in addresses:
            candidate = socket.socket(family, socket.SOCK_STREAM)
            try:
                candidate.settimeout(seconds)
                candidate.connect(address)
            except OSError:
                candidate.close()
            else:
                return candidate
        raise FetchFailed(f"connecting to {self._host} failed", retryable=True)

    def _wrap(self, plain: socket.socket, tls: ssl.SSLContext) -> socket.socket:
        try:
            # Without a handshake, as the watchdog must see this socket first: the plain one is detached.
            return tls.wrap_socket(plain, server_hostname=self._host, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            raise self._handshake_failure(error) from None

    def _shake_hands(self, tls: ssl.SSLSocket, seconds: float) -> None:
        try:
            with self.watchdog.limit(seconds):
                tls.do_handshake()
        except ssl.SSLCertVerificationError as error:
            text = f"the certificate of {self._host} is not valid: {error.verify_message}"
            raise SourceRefused(text, retryable=False) from None
        except OSError as error:
            raise self._handshake_failure(error) from None

    def _handshake_failure(self, error: Exception) -> FetchFailed:
        text = f"the TLS handshake with {self._host} failed ({type(error).__name__})"
        return FetchFailed(text, retryable=True)
