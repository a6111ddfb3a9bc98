"""Builds what a release consists of, from the commit that is checked out, into dist/.

make_release.py [--allow-unreleased] [--output FOLDER]: wheel, sdist, container build context, SBOM, and
SHA256SUMS over them. Two runs from one commit give equal files: archives carry the commit's time, and their
members are sorted and have no owner. The licences in the SBOM are those of the packages in this virtual
environment, so another environment than the locked one may give another SBOM.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from configparser import ConfigParser
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.metadata import version as installed_version
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
_LOCKED = re.compile(r"^([a-z0-9._-]+)==(\S+)", re.MULTILINE)
_OPENAPI_VERSION = re.compile(r"^info:\n(?:[ #].*\n)*?  version: ['\"]?([\w.+-]+)", re.MULTILINE)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
# One hook of PEP 517, in a process of its own: it changes the working directory and prints much.
_BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


class ReleaseError(Exception):
    """The release cannot be built; the message says what to change."""


@dataclass(frozen=True)
class Source:
    """The commit that is released: its id, its time in seconds, and its files in a folder."""

    commit: str
    epoch: int
    folder: Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--allow-unreleased",
        action="store_true",
        help="build although CHANGELOG.md has no section of the version; the version gets +g<commit>",
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="is replaced (default: dist/)")
    arguments = parser.parse_args()
    os.umask(0o022)
    try:
        files = make_release(arguments.output, allow_unreleased=arguments.allow_unreleased)
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(*files, sep="\n")
    return 0


def make_release(output: Path, *, allow_unreleased: bool) -> list[Path]:
    """Build everything and return the files; nothing is left in `output` when one of them fails."""
    require_clean_tree()
    require_locked_tools()
    with tempfile.TemporaryDirectory(prefix="release-") as scratch:
        source = export_commit(Path(scratch) / "source")
        version = common_version(source.folder, allow_unreleased=allow_unreleased)
        if allow_unreleased:
            version = mark_unreleased(source, version)
        built = Path(scratch) / "dist"
        built.mkdir()
        make_container_context(source, built / f"image-gateway-{version}-container.tar")
        make_sbom(source, built / f"image-gateway-{version}-sbom.json")
        build_package(source, built)
        write_checksums(built)
        if output.exists():
            shutil.rmtree(output)
        shutil.copytree(built, output)
    return sorted(output.iterdir())


def require_clean_tree() -> None:
    """Refuse changes and new files that are in no commit."""
    changed = git("status", "--porcelain").splitlines()
    if changed:
        listed = ", ".join(line[3:] for line in changed[:5])
        raise ReleaseError(
            f"the working tree has {len(changed)} uncommitted changes ({listed}): commit them first"
        )


def require_locked_tools() -> None:
    """Refuse build tools of other versions than those that requirements/build.txt locks by hash."""
    for name, locked in _LOCKED.findall((ROOT / "requirements" / "build.txt").read_text()):
        found = installed_version(name)
        if found != locked:
            raise ReleaseError(
                f"{name} {found} is installed, requirements/build.txt locks {locked}: "
                "run `rm -rf .venv && make .venv/.ready`"
            )


def common_version(folder: Path, *, allow_unreleased: bool) -> str:
    """Return the version on which setup.cfg, openapi.yaml and CHANGELOG.md agree."""
    config = ConfigParser(interpolation=None)
    config.read(folder / "setup.cfg")
    version = config["metadata"]["version"]
    openapi = _OPENAPI_VERSION.search((folder / "openapi.yaml").read_text())
    if openapi is None or openapi[1] != version:
        found = openapi[1] if openapi else "no version"
        raise ReleaseError(
            f"setup.cfg says {version}, openapi.yaml says {found}: set both (RELEASING.md, step 5)"
        )
    problem = find_changelog_problem((folder / "CHANGELOG.md").read_text(), version)
    if problem and not allow_unreleased:
        raise ReleaseError(
            f"CHANGELOG.md: {problem} (RELEASING.md, step 4; `make release UNRELEASED=1` builds all the same)"
        )
    return version


def find_changelog_problem(text: str, version: str) -> str | None:
    """Return what is missing: the newest section must be that of the version, under an empty Unreleased."""
    _, *parts = _HEADING.split(text)
    sections = list(zip(parts[::2], parts[1::2], strict=True))
    if sections and sections[0][0] == "Unreleased" and sections.pop(0)[1].strip():
        return "the section Unreleased has entries"
    if not sections or not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", sections[0][0]):
        return f"the newest section is not `## {version} (YYYY-MM-DD)`"
    return None


def mark_unreleased(source: Source, version: str) -> str:
    """Let the exported setup.cfg add the commit to the version, so that nobody takes it for a release."""
    tag = f"+g{source.commit[:12]}"
    with (source.folder / "setup.cfg").open("a") as config:
        config.write(f"\n[egg_info]\ntag_build = {tag}\n")
    return version + tag


def export_commit(folder: Path) -> Source:
    """Write the files of the commit into a folder: no ignored file of this tree can slip in."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout  # noqa: S607
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return Source(git("rev-parse", "HEAD"), int(git("log", "-1", "--format=%ct")), folder)


def build_package(source: Source, output: Path) -> None:
    """Build the sdist, and the wheel from what the sdist contains."""
    run_hook("build_sdist", source.folder, output, source.epoch)
    [sdist] = output.glob("*.tar.gz")
    with tempfile.TemporaryDirectory(dir=source.folder.parent) as unpacked:
        with tarfile.open(sdist) as tar:
            tar.extractall(unpacked, filter="data")
        [folder] = Path(unpacked).iterdir()
        write_archive(
            folder, [path for path in folder.rglob("*") if path.is_file()], sdist, source.epoch, folder.name
        )
        run_hook("build_wheel", folder, output, source.epoch)


def run_hook(hook: str, folder: Path, output: Path, epoch: int) -> None:
    variables = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-c", _BUILD, hook, str(output)]
    ended = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    if ended.returncode:
        raise ReleaseError(f"{hook} failed:\n{ended.stderr[-2000:]}")


def make_container_context(source: Source, archive: Path) -> None:
    """Write what `docker build - < archive` needs: the Dockerfile, and what .dockerignore lets through."""
    first, *lines = (source.folder / ".dockerignore").read_text().split()
    if first != "*":
        raise ReleaseError(".dockerignore: the first line must be *, all others are exceptions")
    allowed = [line[1:] for line in lines if line.startswith("!")]
    hidden = [line.removeprefix("**/") for line in lines if not line.startswith("!")]
    files = [source.folder / "Dockerfile", source.folder / ".dockerignore"]
    for path in source.folder.rglob("*"):
        name = PurePosixPath(path.relative_to(source.folder))
        is_allowed = any(name.is_relative_to(pattern) for pattern in allowed)
        if (
            is_allowed
            and path.is_file()
            and not any(fnmatch(part, pattern) for part in name.parts for pattern in hidden)
        ):
            files.append(path)
    write_archive(source.folder, files, archive, source.epoch)


def write_archive(base: Path, files: list[Path], archive: Path, epoch: int, prefix: str = "") -> None:
    """Write a tar archive of the files, compressed if its name ends in .gz; equal for equal files.

    Symbolic links stay links: the contract of the package is one.
    """
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(set(files)):
            member = tar.gettarinfo(path, str(PurePosixPath(prefix) / path.relative_to(base)))
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.mode & 0o100 else 0o644
            member.pax_headers = {}
            if member.isreg():
                with path.open("rb") as content:
                    tar.addfile(member, content)
            else:
                tar.addfile(member)
    packed = gzip.compress(data.getvalue(), mtime=epoch) if archive.suffix == ".gz" else data.getvalue()
    archive.write_bytes(packed)


def make_sbom(source: Source, file: Path) -> None:
    command = [sys.executable, str(source.folder / "requirements" / "sbom.py"), str(file)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise ReleaseError(f"the SBOM failed:\n{ended.stderr[-2000:]}")


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS, which `sha256sum --check` reads."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def git(*arguments: str) -> str:
    command = ["git", *arguments]
    ended = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return ended.stdout.rstrip("\n")


if __name__ == "__main__":
    sys.exit(main())
