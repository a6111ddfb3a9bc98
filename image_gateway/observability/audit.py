"""The audit log: who was let in by whom, and what admins did."""

from __future__ import annotations

import logging

_log = logging.getLogger("image_gateway.audit")


def audit(event: str, **facts: str | int | None) -> None:
    """Note an event; `facts` hold ids, never tokens."""
    _log.info(event, extra={name: value for name, value in facts.items() if value is not None})
