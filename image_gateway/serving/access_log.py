"""gunicorn's own access log for operators who turn it on: in their format, without secrets."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger, SafeAtoms

from image_gateway.observability.masking import MASKED, mask, names_a_secret


class MaskedAtoms(SafeAtoms):  # type: ignore[misc]  # gunicorn has no types
    """What a format may name; masked when it is asked for, as it is asked for little."""

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if isinstance(value, (int, float)) or value == "-":
            return value
        return MASKED if names_a_secret(name) else mask(str(value))


class AccessLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger, whose access log is written only where --access-logfile turns it on."""

    atoms_wrapper_class = MaskedAtoms

    @property
    def access_log_enabled(self) -> bool:
        """Not merely because logging is configured: collecting the atoms costs every request."""
        return bool(self.cfg.accesslog)
