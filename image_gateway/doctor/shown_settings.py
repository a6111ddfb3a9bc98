"""What findings say of settings: values without secrets, and whether a set-up is for development."""

from __future__ import annotations

from image_gateway.settings import Settings, is_loopback


def shown(settings: Settings, name: str) -> str:
    """Return `NAME=value` with secrets masked."""
    return f"{name}={dict(settings.masked())[name]}"


def is_development(settings: Settings) -> bool:
    """Return whether only this machine can reach the gateway, and callers need no credentials."""
    return settings.auth_mode == "dev" and is_loopback(settings.host)
