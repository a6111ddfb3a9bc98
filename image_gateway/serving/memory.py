"""Keeps glibc from spreading a worker's memory over one arena for each thread."""

from __future__ import annotations

import ctypes

# https://man7.org/linux/man-pages/man3/mallopt.3.html
M_ARENA_MAX = -8
ARENAS = 2


def limit_malloc_arenas() -> bool:
    """Let malloc use at most two arenas; whether this C library knows such a limit (musl does not).

    By default each thread gets an arena of its own, up to eight for each core. Blocks of bodies are freed by
    other threads than those that allocated them, so every arena fills with holes that no other thread uses,
    and memory rises for hours. To be called before threads start; forked processes inherit it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(M_ARENA_MAX, ARENAS) == 1
