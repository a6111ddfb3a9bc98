"""A guest of User-Mode Linux, whose kernel mounts an exported disk and writes files to it.

It needs neither privileges nor virtualization: its kernel is a process, and its root directory is the
host's, read-only.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from image_gateway.local.processes import ManagedProcess

INIT = Path(__file__).with_name("uml_init.sh")
MODULES = Path("/usr/lib/uml/modules")
START_SECONDS = 120
_SYNCED = re.compile(r"^synced (\S+) ([0-9a-f]{64})\r?$", re.MULTILINE)
_RENAMING = re.compile(r"^renaming (\S+)\r?$", re.MULTILINE)


class Guest:
    """A running guest; `number` is part of the names of its files."""

    def __init__(self, folder: Path, port: int, number: int, *, make_files: bool) -> None:
        (module,) = MODULES.glob("*/kernel/drivers/block/nbd.ko")
        # What the kernel does not know becomes the environment of its first process.
        variables = [f"NBD_PORT={port}", f"NBD_MODULE={module}", f"ROUND={number}"]
        if make_files:
            variables.append("MAKE_FILES=1")
        command = [
            *("linux.uml", "mem=64M", f"uml_dir={folder}/", f"umid=guest-{number}", "quiet"),
            *("rootfstype=hostfs", "rootflags=/", "root=/dev/root", "ro", f"init={INIT}", "panic=-1"),
            *("eth0=slirp,,/usr/bin/slirp-fullbolt", "con=null", "con0=null,fd:1", *variables),
        ]
        self._log = folder / f"guest-{number}.log"
        environment = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder)}
        self.process = ManagedProcess("the guest", command, env=environment, log=self._log)

    @property
    def stored(self) -> dict[str, str]:
        """The SHA-256 of each file that was stored durably when the guest said so, by its name.

        A file that was perhaps renamed is left out, under both names.
        """
        text = self._log.read_text(errors="replace")
        # The last line may be half of one.
        text = text[: text.rfind("\n") + 1]
        files = dict(_SYNCED.findall(text))
        last = next(reversed(files), None)
        for name in _RENAMING.findall(text):
            content, target = files.pop(name), f"{name.partition('-')[0]}-last"
            if name == last:
                files.pop(target, None)
            else:
                files[target] = content
        return files

    def wait_for_files(self, count: int) -> None:
        """Wait until the guest has stored more than so many files."""

        def has_stored() -> bool:
            return self._log.read_text(errors="replace").count("synced ") > count

        self.process.wait_until(has_stored, seconds=START_SECONDS)
