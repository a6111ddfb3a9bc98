"""Receives nginx's access and error logs as syslog messages over UDP.

nginx's error messages contain request lines and presigned URLs. They are written to the gateway's log, which
masks them; nginx's own error.log has only level `alert` and above.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Callable

_log = logging.getLogger("image_gateway.edge")
# RFC 3164 as written by nginx: <priority>Nov 24 23:17:46 tag: text
_LINE = re.compile(rb"<(\d{1,3})>\w{3} [ \d]\d \d\d:\d\d:\d\d (edge|edge_error): ?(.*)", re.DOTALL)
_READ = re.compile(rb"(\d{3}) (\S{1,16}) (\d{1,18})\s*")
_MAX_LINE = 8192
_RECEIVE_BUFFER = 4 * 1024 * 1024
ERRORS_PER_SECOND = 50
_ERROR_SEVERITY = 3

CountRead = Callable[[int, str, int], None]


class EdgeReports:
    """Receives reports on a UDP address; other datagrams are ignored.

    Args:
        address: Host and port to listen on.
        family: Address family.
        count: Called with HTTP status, cache status and body bytes of each read.

    Raises:
        OSError: The address cannot be bound.
    """

    def __init__(self, address: tuple[str, int], family: socket.AddressFamily, count: CountRead) -> None:
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._count = count
        self._second = 0
        self._errors = 0
        try:
            self._socket.bind(address)
        except OSError:
            self._socket.close()
            raise

    def start(self) -> None:
        """Start receiving in a daemon thread."""
        threading.Thread(target=self._receive, name="edge reports", daemon=True).start()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def take(self, datagram: bytes) -> None:
        """Process one datagram: count a read or log an error."""
        line = _LINE.fullmatch(datagram)
        if line is None:
            return
        priority, tag, text = line.groups()
        if tag == b"edge":
            read = _READ.fullmatch(text)
            if read is not None:
                self._count(int(read[1]), read[2].decode("ascii", "replace"), int(read[3]))
        else:
            self._log_error(int(priority) % 8, text.decode("utf-8", "replace").strip())

    def _receive(self) -> None:
        while True:
            self.take(self._socket.recv(_MAX_LINE))

    def _log_error(self, severity: int, text: str) -> None:
        second = int(time.monotonic())
        if second != self._second:
            if self._errors > ERRORS_PER_SECOND:
                _log.warning("nginx: %d more errors within one second", self._errors - ERRORS_PER_SECOND)
            self._second, self._errors = second, 0
        self._errors += 1
        if self._errors <= ERRORS_PER_SECOND:
            level = logging.ERROR if severity < _ERROR_SEVERITY else logging.WARNING
            _log.log(level, "nginx: %s", text)
