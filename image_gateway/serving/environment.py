"""Loads the settings from the environment and `.env` at process start."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import NoReturn

from dotenv import load_dotenv

from image_gateway.settings import Settings, SettingsError, load_settings

EX_CONFIG = 78


def read_settings() -> Settings:
    """Load the settings; the environment takes precedence over `.env` in the working directory."""
    load_dotenv(Path(".env"))
    return load_settings(os.environ)


def read_settings_or_exit() -> Settings:
    """Load the settings, or print all errors and exit with status 78 (EX_CONFIG)."""
    try:
        return read_settings()
    except SettingsError as error:
        exit_with(error)


def share_lease_key(settings: Settings) -> None:
    """Without LEASE_KEYS, set a random key in the environment, which all workers inherit across reloads."""
    if not settings.lease_keys:
        os.environ["LEASE_KEYS"] = f"once:{secrets.token_hex(32)}"


def exit_with(error: SettingsError, status: int = EX_CONFIG) -> NoReturn:
    """Print the errors to stderr and exit."""
    print(f"image-gateway: {error}", file=sys.stderr)  # noqa: T201  # logging is not set up yet
    sys.exit(status)
