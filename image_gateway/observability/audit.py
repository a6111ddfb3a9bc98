"""The audit log: grants and revocations of access, and actions of admins."""

from __future__ import annotations

import logging

_log = logging.getLogger("image_gateway.audit")


def audit(event: str, **facts: str | int | None) -> None:
    """Log an audit event; `facts` contain ids, never tokens."""
    _log.info(event, extra={name: value for name, value in facts.items() if value is not None})
