"""Finds free TCP ports on loopback."""

from __future__ import annotations

import random
import socket

# Below Linux's ephemeral range, so that outgoing connections cannot take a port after the check.
_FIRST, _LAST = 20_000, 32_000


def is_free(port: int) -> bool:
    """Return whether 127.0.0.1:`port` can be bound."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def find_free_ports(count: int, *, preferred: tuple[int, ...] = ()) -> list[int]:
    """Return `count` distinct free ports, starting with the preferred ones that are free."""
    found = [port for port in preferred if is_free(port)][:count]
    candidates = random.sample(range(_FIRST, _LAST), _LAST - _FIRST)
    for port in candidates:
        if len(found) == count:
            break
        if port not in found and is_free(port):
            found.append(port)
    return found
