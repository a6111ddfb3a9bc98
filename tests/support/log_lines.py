"""Log lines as the service writes them, without touching how the test run itself logs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from image_gateway.observability.logs import make_formatter


class Lines:
    """What was written so far."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def text(self) -> str:
        return self.stream.getvalue()

    def parsed(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]

    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.parsed() if line["logger"] == "image_gateway.request"]


@contextmanager
def written_lines(level: int = logging.INFO, shape: str = "json") -> Iterator[Lines]:
    """Everything below `image_gateway` and `gunicorn` that is logged meanwhile."""
    lines = Lines()
    handler = logging.StreamHandler(lines.stream)
    handler.setFormatter(make_formatter(shape))
    loggers = [logging.getLogger("image_gateway"), logging.getLogger("gunicorn")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(level)
    try:
        yield lines
    finally:
        for logger, old in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(old)
