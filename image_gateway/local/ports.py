"""Free TCP ports on loopback."""

from __future__ import annotations

import random
import socket

# Below Linux's ephemeral range, so that no outgoing connection takes one between look and use.
_FIRST, _LAST = 20_000, 32_000


def is_free(port: int) -> bool:
    """Whether something can listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def find_free_ports(count: int, *, preferred: tuple[int, ...] = ()) -> list[int]:
    """Return `count` different free ports, the preferred ones first where they are free."""
    found = [port for port in preferred if is_free(port)][:count]
    candidates = random.sample(range(_FIRST, _LAST), _LAST - _FIRST)
    for port in candidates:
        if len(found) == count:
            break
        if port not in found and is_free(port):
            found.append(port)
    return found
