"""The plain image under a file name that the reader chooses, which native tools show and save."""

from __future__ import annotations

from urllib.parse import quote

MAX_NAME_BYTES = 255


def is_file_name(name: str) -> bool:
    """Return whether a path segment is a name with an extension, and safe to save on any system."""
    stem, dot, extension = name.rpartition(".")
    return (
        bool(stem and dot and extension)
        and len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES
        and name.isprintable()
        and not set(name) & set('/\\:*?"<>|')
        and name.strip(" ") == name
    )


def attachment(name: str) -> str:
    """Return the Content-Disposition that lets a browser save a body under this name (RFC 6266, RFC 8187)."""
    if name.isascii():
        return f'attachment; filename="{name}"'
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
