"""Workers do not spread their memory over an arena for each thread."""

from __future__ import annotations

import subprocess
import sys

from tests.live.support import ROOT

SCRIPT = """
import ctypes, re, sys, threading
from image_gateway.serving.lifecycle import limit_malloc_arenas
if sys.argv[1] == "limited":
    assert limit_malloc_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
barrier = threading.Barrier(12)
def work():
    barrier.wait(20)
    assert libc.malloc(ctypes.c_size_t(100_000))
    barrier.wait(20)
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_stats()
"""


def arenas(*arguments: str) -> int:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ended.stderr.count("Arena ")


def test_threads_share_two_arenas() -> None:
    assert arenas("free") > 2
    assert arenas("limited") <= 2
