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
        self.socket = self._connect_to_any(addresses, rules.connect_seconds)
        if tls is not None:
            self.socket = self._wrap(self.socket, tls)
        self.socket.settimeout(rules.stall_seconds)
        self.watchdog = Watchdog(self.socket, rules.stall_seconds / 4)

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
        """Shake hands; the socket's timeout limits the handshake in all."""
        try:
            return tls.wrap_socket(plain, server_hostname=self._host)
        except ssl.SSLCertVerificationError as error:
            plain.close()
            text = f"the certificate of {self._host} is not valid: {error.verify_message}"
            raise SourceRefused(text, retryable=False) from None
        except (OSError, ValueError) as error:
            plain.close()
            text = f"the TLS handshake with {self._host} failed ({type(error).__name__})"
            raise FetchFailed(text, retryable=True) from None
