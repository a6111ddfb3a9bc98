"""Calls in threads that nobody has to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def in_background(call: Callable[..., _Result], *arguments: Any) -> Future[_Result]:
    """Begin a call; one that hangs does not hold up the end of the test that gave it up."""
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            future.set_result(call(*arguments))
        except BaseException as error:  # noqa: BLE001  # the test raises it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
