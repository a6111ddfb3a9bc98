"""`make release`: what it refuses, what it builds, and that the wheel alone is a working gateway."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import urllib3

from image_gateway.local.gateway import start_gateway
from image_gateway.local.ports import find_free_ports
from image_gateway.storage.client import StoreClients

pytestmark = pytest.mark.xdist_group("release")
ROOT = Path(__file__).parents[1]
AUTHOR = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_AUTHOR_DATE": "1700000000 +0000"}
COMMITTER = {name.replace("AUTHOR", "COMMITTER"): value for name, value in AUTHOR.items()}


def git(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, **AUTHOR, **COMMITTER}
    command = ["git", "-c", "commit.gpgsign=false", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of this working tree as the only commit of a repository of their own."""
    folder = tmp_path_factory.mktemp("repository")
    for name in git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and os.path.lexists(ROOT / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "all")
    return folder


def release(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(repository / "deploy" / "make_release.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def unchanged(repository: Path) -> Iterator[Path]:
    """The repository, which has its commit and nothing else again afterwards."""
    [commit] = git(repository, "rev-list", "HEAD").split()
    yield repository
    git(repository, "reset", "--quiet", "--hard", commit)
    git(repository, "clean", "--quiet", "-d", "--force")


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_release", ROOT / "deploy" / "make_release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        # Its dataclasses look up their module.
        patch.setitem(sys.modules, "make_release", module)
        spec.loader.exec_module(module)
    return module


def test_uncommitted_files_are_refused(unchanged: Path) -> None:
    (unchanged / "image_gateway" / "debug.py").write_text("")
    ended = release(unchanged)
    assert ended.returncode == 1
    assert "image_gateway/debug.py" in ended.stderr
    assert not (unchanged / "dist").exists()


def test_files_that_name_different_versions_are_refused(unchanged: Path) -> None:
    contract = unchanged / "openapi.yaml"
    contract.write_text(re.sub(r"^  version: .*$", "  version: 9.9.9", contract.read_text(), flags=re.M))
    git(unchanged, "commit", "--quiet", "--all", "--message", "another version")
    ended = release(unchanged, "--allow-unreleased")
    assert ended.returncode == 1
    assert re.search(r"setup\.cfg says [0-9.]+, openapi\.yaml says 9\.9\.9", ended.stderr)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# Changelog\n\n## Unreleased\n\n## 1.0.0 (2026-01-02)\n\n- x\n", None),
        ("# Changelog\n\n## 1.0.0 (2026-01-02)\n\n- x\n", None),
        ("# Changelog\n\n## Unreleased\n\n- y\n\n## 1.0.0 (2026-01-02)\n", "Unreleased has entries"),
        ("# Changelog\n\n## Unreleased\n\n## 0.9.0 (2026-01-02)\n", "not `## 1.0.0 (YYYY-MM-DD)`"),
        ("# Changelog\n\n## 1.0.0\n", "not `## 1.0.0 (YYYY-MM-DD)`"),
        ("# Changelog\n", "not `## 1.0.0 (YYYY-MM-DD)`"),
    ],
)
def test_the_changelog_must_have_the_version_on_top(text: str, problem: str | None) -> None:
    found = load_script().find_changelog_problem(text, "1.0.0")
    assert found is None if problem is None else problem in found


@dataclass(frozen=True)
class Release:
    """What was built, and the wheel unpacked in a folder of its own."""

    files: dict[str, Path]
    installed: Path

    def one(self, ending: str) -> Path:
        [file] = [path for name, path in self.files.items() if name.endswith(ending)]
        return file

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.installed), **more}

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, self.installed / "bin" / "image-gateway", *arguments],
            cwd=self.installed,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def built(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Release:
    ended = release(repository, "--allow-unreleased")
    assert ended.returncode == 0, ended.stderr
    files = {path.name: path for path in (repository / "dist").iterdir()}
    installed = tmp_path_factory.mktemp("installed")
    [wheel] = [path for name, path in files.items() if name.endswith(".whl")]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--target", installed, wheel], check=True, timeout=60)
    return Release(files, installed)


@pytest.mark.thorough
def test_the_checksums_are_those_of_all_other_files(built: Release) -> None:
    sums = built.one("SHA256SUMS")
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", sums.name], cwd=sums.parent, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout
    assert {line.partition(": ")[0] for line in checked.stdout.splitlines()} == {
        *built.files.keys() - {"SHA256SUMS"}
    }
    assert len(built.files) == 5


@pytest.mark.thorough
def test_an_unreleased_build_names_its_commit(built: Release, repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")[:12]
    printed = built.run("--version").stdout
    assert re.fullmatch(rf"image-gateway, version [0-9.]+\+g{commit}\n", printed)


@pytest.mark.thorough
def test_the_same_commit_gives_the_same_files(built: Release, repository: Path, tmp_path: Path) -> None:
    script = load_script()
    script.ROOT = repository
    source = script.export_commit(tmp_path / "source")
    version = script.mark_unreleased(source, script.common_version(source.folder, allow_unreleased=True))
    again = tmp_path / "again"
    again.mkdir()
    script.make_container_context(source, again / f"image-gateway-{version}-container.tar")
    script.build_package(source, again)
    files = {path.name: path.read_bytes() for path in again.iterdir()}
    assert len(files) == 3
    assert [name for name in files if built.files[name].read_bytes() != files[name]] == []


@pytest.mark.thorough
def test_wheel_and_sdist_contain_the_whole_package(built: Release, repository: Path) -> None:
    tracked = git(repository, "ls-files", "image_gateway").splitlines()
    left_out = re.compile(r"console/(package|tsconfig.*)\.json$")
    expected = {name: repository / name for name in tracked if not left_out.search(name)}
    assert {"image_gateway/openapi.yaml", "image_gateway/console/index.html"} <= expected.keys()
    with zipfile.ZipFile(built.one(".whl")) as wheel:
        packed = {name: wheel.read(name) for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed.keys() == expected.keys()
    assert [name for name in packed if packed[name] != expected[name].read_bytes()] == []
    with tarfile.open(built.one(".tar.gz")) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert expected.keys() <= names
    assert [name for name in names if name.startswith(("tests/", "docs/", ".env"))] == []


@pytest.mark.thorough
def test_the_container_context_has_what_the_dockerfile_copies_and_nothing_secret(built: Release) -> None:
    with tarfile.open(built.one("-container.tar")) as context:
        names = set(context.getnames())
        dockerfile = context.extractfile("Dockerfile")
        assert dockerfile is not None
        text = dockerfile.read().decode().replace("\\\n", " ")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M)
    sources = {source for line in copied for source in line.split()} - {"."}
    assert sources
    assert sources <= names
    # What `pip install .` and CMD need, out of `COPY . .`.
    assert {"setup.cfg", "pyproject.toml", "README.md", "openapi.yaml", "image_gateway/openapi.yaml"} <= names
    folders = {name.partition("/")[0] for name in names if "/" in name}
    assert folders == {"image_gateway", "requirements", "deploy"}
    assert [name for name in names if name.startswith((".env", ".git", "tests", "docs"))] == []


@pytest.mark.thorough
def test_the_wheel_alone_upgrades_a_catalog_and_serves(
    built: Release, clients: StoreClients, tmp_path: Path
) -> None:
    variables = {
        "S3_BUCKET": clients.address.bucket,
        "AWS_REGION": "us-east-1",
        "S3_ENDPOINT": str(clients.address.endpoint),
        "S3_FORCE_PATH_STYLE": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "DATABASE_URL": f"sqlite:///{tmp_path}/catalog.db",
        "WEB_WORKERS": "1",
    }
    upgraded = built.run("db", "upgrade", **variables)
    assert upgraded.returncode == 0, upgraded.stderr
    gateway = start_gateway(
        built.environment(**variables), port=find_free_ports(1)[0], log=tmp_path / "log", cwd=tmp_path
    )
    try:
        with urllib3.PoolManager(retries=False, timeout=10) as http:
            pages = {path: http.request("GET", gateway.url + path) for path in ("/", "/openapi.yaml")}
    finally:
        gateway.process.kill()
    assert [page.status for page in pages.values()] == [200, 200]
    assert pages["/openapi.yaml"].data == (ROOT / "openapi.yaml").read_bytes()
    assert b'<script type="module"' in pages["/"].data
