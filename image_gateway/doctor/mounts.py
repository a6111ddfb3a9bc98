"""Finds the type of the file system that a path is on."""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
# File locks and memory-mapped files of these work badly, or on one host only.
_NETWORK = re.compile(
    r"nfs4?|cifs|smb3?|smbfs|9p|afs|ceph|glusterfs|lustre|fuse\.(sshfs|s3fs|glusterfs|rclone|mountpoint-s3|gcsfuse)"
)
_OCTAL = re.compile(r"\\([0-7]{3})")


def file_system_of(path: Path, mounts: Path = MOUNTS) -> str | None:
    """Return the type of the file system of a path, such as `ext4`; None where Linux does not tell.

    https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    resolved = path.resolve()
    best: tuple[int, str] | None = None
    for line in lines:
        before, _, after = line.partition(" - ")
        mount_point = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), before.split(" ")[4]))
        # Of several mounts at one place the last one is seen.
        if resolved.is_relative_to(mount_point) and (best is None or len(mount_point.parts) >= best[0]):
            best = len(mount_point.parts), after.split(" ")[0]
    return best[1] if best else None


def is_network_file_system(kind: str | None) -> bool:
    """Return whether other hosts may write to a file system of this type at the same time."""
    return kind is not None and _NETWORK.fullmatch(kind) is not None


def existing_parent(path: Path) -> Path:
    """Return the path itself if it exists, or else the nearest parent that does."""
    absolute = path.absolute()
    return next(place for place in (absolute, *absolute.parents) if os.path.exists(place))
