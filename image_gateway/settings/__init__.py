"""Settings read from environment variables; `SettingsSchema` defines one field per variable."""

from image_gateway.settings.fields import is_loopback
from image_gateway.settings.model import MASK, Settings, SettingsError, load_settings
from image_gateway.settings.schema import SettingsSchema

__all__ = ["MASK", "Settings", "SettingsError", "SettingsSchema", "is_loopback", "load_settings"]
