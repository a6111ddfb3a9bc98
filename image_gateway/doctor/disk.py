"""Checks of this machine: cache folders and their disks, temporary files, descriptors, v86's files."""

from __future__ import annotations

import os
import resource
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from image_gateway.block_cache.cache_directory import CacheDirectory, FileLock
from image_gateway.block_cache.capacity import recorded_usage
from image_gateway.doctor.mounts import existing_parent, file_system_of, is_network_file_system
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.protocol.parts import MIB
from image_gateway.routes.console import V86_BIOSES, V86_NEEDED
from image_gateway.settings import Settings
from image_gateway.settings.descriptors import wanted_connections, wanted_descriptors

SUBJECT = "disk"
# Metrics of the workers, sockets of conversions, bodies that nginx buffers.
TEMPORARY_BYTES = 64 * MIB
_Statvfs = Callable[[str], os.statvfs_result]


def check_disk(
    settings: Settings,
    statvfs: _Statvfs = os.statvfs,
    getrlimit: Callable[[int], tuple[int, int]] = resource.getrlimit,
) -> Iterator[Check]:
    """Check folders, disks and limits of this machine; a probe file is written and removed.

    Args:
        statvfs: Returns free bytes and files of a file system, as os.statvfs.
        getrlimit: Returns soft and hard limit, as resource.getrlimit.
    """
    yield from _check_block_cache(settings, statvfs)
    yield from _check_edge_cache(settings, statvfs)
    yield from _check_folder(Path(tempfile.gettempdir()), "TMPDIR", TEMPORARY_BYTES, statvfs)
    yield _check_descriptors(settings, getrlimit)
    yield _check_v86(settings)


def _check_block_cache(settings: Settings, statvfs: _Statvfs) -> Iterator[Check]:
    if settings.range_cache_dir is None:
        yield Check(SUBJECT, "RANGE_CACHE_DIR", skipped="not set: no block cache")
        return
    folder = Path(settings.range_cache_dir)
    used = recorded_usage(CacheDirectory(folder))
    missing = max(0, settings.range_cache_max_bytes - used.bytes)
    name = "RANGE_CACHE_DIR"
    yield from _check_folder(folder, name, missing, statvfs, limit="RANGE_CACHE_MAX_BYTES")
    yield Check(SUBJECT, f"{name} file system", str(file_system_of(folder)), _find_network(folder, name))
    yield Check(SUBJECT, f"{name} owner", findings=_find_other_owner(folder))


def _check_edge_cache(settings: Settings, statvfs: _Statvfs) -> Iterator[Check]:
    name, folder = "EDGE_CACHE_DIR", Path(settings.edge_cache_dir)
    if settings.edge_token is None or settings.edge_cache_max_bytes == 0:
        reason = "EDGE_TOKEN is not set" if settings.edge_token is None else "EDGE_CACHE_MAX_BYTES=0"
        yield Check(SUBJECT, name, skipped=reason)
    elif not folder.is_dir():
        yield Check(SUBJECT, name, skipped=f"{folder} is not on this machine")
    else:
        used = sum(file.stat().st_blocks * 512 for file in _files(folder))
        missing = max(0, settings.edge_cache_max_bytes - used)
        # nginx writes there as another user.
        yield _check_space(folder, name, missing, statvfs, "EDGE_CACHE_MAX_BYTES")


def _files(folder: Path) -> Iterator[Path]:
    for path, _, names in os.walk(folder):
        # nginx removes files meanwhile.
        yield from (file for name in names if (file := Path(path, name)).exists())


def _check_folder(
    folder: Path, name: str, needed: int, statvfs: _Statvfs, limit: str | None = None
) -> Iterator[Check]:
    findings = _find_unwritable(folder, name)
    yield Check(SUBJECT, name, str(folder), findings)
    if not findings:
        yield _check_space(folder, name, needed, statvfs, limit)


def _find_unwritable(folder: Path, name: str) -> tuple[Finding, ...]:
    """Write, lock and remove a file in the folder, or look whether the folder can be made."""
    parent = existing_parent(folder)
    reason = None
    if not parent.is_dir():
        reason = f"{parent} is not a folder"
    elif parent == folder.absolute():
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".image-gateway-doctor-") as file:
                file.write(b"\0")
                file.flush()
                _lock(file.name)
        except OSError as error:
            reason = f"writing failed: {error.strerror}"
    elif not os.access(parent, os.W_OK | os.X_OK):
        reason = f"it does not exist, and cannot be made in {parent}"
    if reason is None:
        return ()
    return (
        Finding(
            "disk-unwritable",
            Severity.BROKEN,
            f"{name}={folder}: {reason}",
            "No block is kept, and each read goes to the store."
            if name == "RANGE_CACHE_DIR"
            else "Metrics and conversions need temporary files.",
            f"make {folder} a folder that the gateway's user can write to, or change {name}",
        ),
    )


def _lock(path: str) -> None:
    with FileLock(path) as lock:
        if not next(lock.attempts()):
            raise OSError(0, "a file that was just made is locked")


def _check_space(folder: Path, name: str, needed: int, statvfs: _Statvfs, limit: str | None) -> Check:
    found = statvfs(str(existing_parent(folder)))
    free = found.f_bavail * found.f_frsize
    detail = f"{_size(free)} free, {_size(needed)} needed"
    if free >= needed:
        return Check(SUBJECT, f"{name} space", detail)
    finding = Finding(
        "disk-full" if free < TEMPORARY_BYTES else "disk-too-small",
        Severity.WARNING,
        f"{name}={folder}: {_size(free)} are free"
        + (f"; {limit} lets the cache grow by {_size(needed)}" if limit else f"; {_size(needed)} are needed"),
        "When the disk is full, reads go past the cache, and what else is on the disk fails."
        if limit
        else "Metrics and conversions need temporary files.",
        f"free space, or lower {limit}" if limit else "free space, or set TMPDIR to another disk",
    )
    return Check(SUBJECT, f"{name} space", detail, (finding,))


def _find_network(folder: Path, name: str) -> tuple[Finding, ...]:
    kind = file_system_of(folder)
    if not is_network_file_system(kind):
        return ()
    return (
        Finding(
            "disk-network",
            Severity.WARNING,
            f"{name}={folder} is on a network file system ({kind})",
            "Reads from it are hardly faster than from the store, and gateways of several machines would "
            "wait for each other's file locks.",
            "give each machine a folder on a disk of its own",
        ),
    )


def _find_other_owner(folder: Path) -> tuple[Finding, ...]:
    """The cache refuses a subfolder that another user could change."""
    top = Path(CacheDirectory(folder).blocks).parent
    try:
        found = top.lstat()
    except OSError:
        return ()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
        return ()
    return (
        Finding(
            "disk-cache-owner",
            Severity.WARNING,
            f"{top} belongs to user {found.st_uid}, and this is user {os.geteuid()}",
            "The gateway uses only a cache that belongs to its own user.",
            f"run doctor as the gateway's user; if you did, remove {top}",
        ),
    )


def _check_descriptors(settings: Settings, getrlimit: Callable[[int], tuple[int, int]]) -> Check:
    name, threads = "open files", settings.web_threads
    wanted = wanted_descriptors(wanted_connections(threads), threads)
    hard = getrlimit(resource.RLIMIT_NOFILE)[1]
    shown = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    detail = f"{wanted} wanted per worker, limit {shown}"
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        return Check(SUBJECT, name, detail)
    finding = Finding(
        "disk-few-descriptors",
        Severity.WARNING,
        f"the hard limit of open files is {hard}; a worker with WEB_THREADS={threads} wants {wanted}",
        "Each worker accepts fewer connections, and clients wait.",
        "raise it: LimitNOFILE= of the systemd unit, --ulimit nofile= of the container, or ulimit -Hn",
    )
    return Check(SUBJECT, name, detail, (finding,))


def _check_v86(settings: Settings) -> Check:
    name, path = "EMULATOR_V86_PATH", settings.emulator_v86_path
    if path is None or not settings.console:
        return Check(SUBJECT, name, skipped="CONSOLE=false" if path else "not set")
    missing = [file for file in V86_NEEDED if not Path(path, file).is_file()]
    if not any(Path(path, file).is_file() for file in V86_BIOSES):
        missing.append(" or ".join(V86_BIOSES))
    if not missing:
        return Check(SUBJECT, name, path)
    finding = Finding(
        "disk-v86-incomplete",
        Severity.BROKEN,
        f"{path} has no {', no '.join(missing)}",
        "The console's page Open cannot start images.",
        "copy v86's files there: docs/how-to/console-open.md",
    )
    return Check(SUBJECT, name, findings=(finding,))


def _size(size: int) -> str:
    return f"{size / 1024 / MIB:.1f} GiB" if size >= 1024 * MIB else f"{size / MIB:.0f} MiB"
