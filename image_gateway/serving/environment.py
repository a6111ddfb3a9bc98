"""The process's environment, `.env` included, as settings; used wherever a process starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from dotenv import load_dotenv

from image_gateway.settings import Settings, SettingsError, load_settings

EX_CONFIG = 78


def read_settings() -> Settings:
    """Read `.env` of the working directory (the real environment wins), then the settings."""
    load_dotenv(Path(".env"))
    return load_settings(os.environ)


def read_settings_or_exit() -> Settings:
    """Read the settings, or print every mistake and exit with status 78 (EX_CONFIG)."""
    try:
        return read_settings()
    except SettingsError as error:
        exit_with(error)


def exit_with(error: SettingsError, status: int = EX_CONFIG) -> NoReturn:
    """Print the mistakes and leave."""
    print(f"image-gateway: {error}", file=sys.stderr)  # noqa: T201  # logging is not set up yet
    sys.exit(status)
