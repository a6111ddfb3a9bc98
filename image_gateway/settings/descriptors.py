"""How many client connections and file descriptors a gunicorn worker needs."""

from __future__ import annotations

# For connections to store and database, log files, pipes and block cache files.
SPARE_DESCRIPTORS = 256


def wanted_connections(threads: int) -> int:
    """Return how many client connections a worker with so many threads should hold."""
    return max(1000, 4 * threads)


def wanted_descriptors(connections: int, threads: int) -> int:
    """Return how many file descriptors a worker needs for so many client connections."""
    return connections + SPARE_DESCRIPTORS + 4 * threads
