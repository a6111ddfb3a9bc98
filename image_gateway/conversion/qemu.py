"""Runs qemu-nbd without privileges, with limits, and not longer than the process that needs it."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from image_gateway.errors import ConversionError, ConverterUnavailable

_POLL_SECONDS = 0.01
_STOP_SECONDS = 10
_UNPRIVILEGED = "nobody"
_PACKAGES = {"qemu-nbd": "qemu-utils", "setpriv": "util-linux", "prlimit": "util-linux"}
# The address of a unix socket has 108 bytes.
_MAX_SOCKET_PATH = 107
_NODE = re.compile(r"'?json:\{.*\}'?:? ?")


@dataclass(frozen=True)
class QemuLimits:
    """Limits of one qemu-nbd process; it may start, or send nothing, for `stall_seconds`."""

    address_space_bytes: int = 2 * 1024 * 1024 * 1024
    cpu_seconds: int = 6 * 3600
    open_files: int = 64
    stall_seconds: float = 60


class QemuProcess:
    """A running qemu-nbd, and the end of what it wrote."""

    def __init__(self, command: list[str], object_fd: int) -> None:
        self._child = subprocess.Popen(  # noqa: S603  # a list, and no shell
            command,
            env={},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[object_fd],
            start_new_session=True,
        )
        self._lines: deque[str] = deque(maxlen=20)
        self._drain = threading.Thread(target=self._read_lines, name="qemu-log", daemon=True)
        self._drain.start()

    @property
    def pid(self) -> int:
        return self._child.pid

    def is_alive(self) -> bool:
        """Return whether the process is running."""
        return self._child.poll() is None

    def wait_for_end(self, seconds: float) -> int | None:
        """Return the exit status, negative for a signal, or None if it still runs after `seconds`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._child.wait(seconds)
        return None

    def messages(self) -> str:
        """Return the last lines that the ended process wrote, without the description of its node."""
        self._drain.join(_STOP_SECONDS)
        lines = (
            line.removeprefix("qemu-nbd: ").removeprefix("Failed to blk_new_open ") for line in self._lines
        )
        return "; ".join(_NODE.sub("", line) for line in lines)

    def kill(self) -> None:
        """SIGKILL the process and wait for it."""
        self._child.kill()
        self._child.wait()
        self._drain.join(_STOP_SECONDS)

    def _read_lines(self) -> None:
        if (stream := self._child.stderr) is None:
            return
        with stream:
            # A line is bounded, too.
            while line := stream.readline(1000):
                self._lines.append(line.decode("utf-8", "replace").strip())


@contextmanager
def running_qemu(
    driver: str, options: Mapping[str, object], object_socket: socket.socket, limits: QemuLimits
) -> Iterator[tuple[QemuProcess, Path]]:
    """Run qemu-nbd over an object until the end of the context; yields it and the path of its socket.

    It dies with the thread that enters the context: Linux sends the parent-death signal at its end.

    Args:
        driver: QEMU's block driver of the image format.
        options: Further options of that driver.
        object_socket: A connected socket whose other end serves the object by NBD.

    Raises:
        ConverterUnavailable: A program is missing.
    """
    programs = find_programs()
    with tempfile.TemporaryDirectory(prefix="image-gateway-qemu-", ignore_cleanup_errors=True) as folder:
        path = Path(folder, "disk.sock")
        if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
            raise ConverterUnavailable(f"the path of the temporary folder {folder} is too long for a socket")
        object_fd = object_socket.fileno()
        file = {"driver": "nbd", "server": {"type": "fd", "str": str(object_fd)}}
        node = {"driver": driver, **options, "backing": None, "read-only": True, "file": file}
        command = [
            *_without_privileges(programs["setpriv"], folder),
            *_limited(programs["prlimit"], limits),
            *(programs["qemu-nbd"], "--read-only", f"--socket={path}", f"json:{json.dumps(node)}"),
        ]
        try:
            process = QemuProcess(command, object_fd)
        except OSError as error:
            raise ConverterUnavailable(f"qemu-nbd cannot be started: {error.strerror}") from error
        try:
            yield process, path
        finally:
            process.kill()


def connect(process: QemuProcess, path: Path, limits: QemuLimits) -> socket.socket | None:
    """Connect to qemu-nbd when it listens; returns None if it ended instead.

    Raises:
        ConversionError: It did neither within `stall_seconds`.
    """
    deadline = time.monotonic() + limits.stall_seconds
    while time.monotonic() < deadline:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(limits.stall_seconds)
        try:
            connection.connect(str(path))
            return connection
        except OSError:
            connection.close()
        if not process.is_alive():
            return None
        time.sleep(_POLL_SECONDS)
    raise ConversionError(f"qemu-nbd did not open the image within {limits.stall_seconds:.0f} s")


def _without_privileges(setpriv: str, folder: str) -> list[str]:
    command = [setpriv, "--pdeathsig", "KILL", "--no-new-privs"]
    if os.geteuid() == 0:
        user = pwd.getpwnam(_UNPRIVILEGED)
        os.chown(folder, user.pw_uid, user.pw_gid)
        command += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return command


def _limited(prlimit: str, limits: QemuLimits) -> list[str]:
    return [
        prlimit,
        f"--as={limits.address_space_bytes}",
        f"--cpu={limits.cpu_seconds}",
        f"--nofile={limits.open_files}",
        "--core=0",
        # It writes no files.
        "--fsize=0",
    ]


def find_programs() -> dict[str, str]:
    """Return the paths of the programs that a conversion runs; ConverterUnavailable if one is missing."""
    return {name: _find(name) for name in _PACKAGES}


def _find(program: str) -> str:
    path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/bin:/usr/sbin")
    if path is None:
        raise ConverterUnavailable(
            f"{program} is not installed on this machine: install the package {_PACKAGES[program]}"
        )
    return os.path.abspath(path)
