"""gunicorn's optional access log, with secrets masked."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger, SafeAtoms

from image_gateway.observability.masking import MASKED, mask, names_a_secret


class MaskedAtoms(SafeAtoms):  # type: ignore[misc]  # gunicorn has no types
    """Access log atoms, masked lazily because a format uses only a few of them."""

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if isinstance(value, (int, float)) or value == "-":
            return value
        return MASKED if names_a_secret(name) else mask(str(value))


class AccessLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger, with the access log only if --access-logfile is set."""

    atoms_wrapper_class = MaskedAtoms

    @property
    def access_log_enabled(self) -> bool:
        """Return whether --access-logfile is set; gunicorn would also enable it for `logconfig_dict`."""
        return bool(self.cfg.accesslog)
