"""gunicorn's response, with the head and the first bytes of the body in one send."""

from __future__ import annotations

import os
from typing import Any

from gunicorn.http.wsgi import Response
from gunicorn.util import has_fileno

from image_gateway.serving.sockets import GatewaySocket


class GatewayResponse(Response):  # type: ignore[misc]  # gunicorn has no types
    """Holds the head back until the first bytes of the body, or the end."""

    headers_sent: bool
    _held = b""

    def send_headers(self) -> None:
        if self.headers_sent:
            return
        lines = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers), "\r\n"]
        self._held = "".join(lines).encode("latin-1")
        self.headers_sent = True

    def close(self) -> None:
        self.send_headers()
        self._put(b"0\r\n\r\n" if self.chunked else b"")

    def _emit_body(self, data: bytes) -> None:
        if not data:
            return
        if self.chunked:
            data = b"%X\r\n%s\r\n" % (len(data), data)
        self._put(data)

    def sendfile(self, respiter: Any) -> bool:
        """Let the kernel send the file where its length is announced; else it is read and written."""
        sock, length = self.sock, self.response_length
        if self._omits_body:
            return True
        if not isinstance(sock, GatewaySocket) or not self.can_sendfile() or not length:
            return False
        if not has_fileno(respiter.filelike):
            return False
        offset = os.lseek(respiter.filelike.fileno(), 0, os.SEEK_CUR)
        self.send_headers()
        held, self._held = self._held, b""
        sock.send_file_with_head(held, respiter.filelike, offset, length)
        self.sent += length
        return True

    def _put(self, data: bytes) -> None:
        held, self._held = self._held, b""
        if not held:
            if data:
                self.sock.sendall(data)
        elif data and isinstance(self.sock, GatewaySocket):
            self.sock.send_with_head(held, data)
        else:
            self.sock.sendall(held + data)
