"""What the Dockerfile does, done without Docker: its pip commands, entry point and health check."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from image_gateway.local.ports import find_free_ports
from image_gateway.local.processes import ManagedProcess

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
INSTALL_SECONDS = 240
pytestmark = pytest.mark.thorough


@dataclass(frozen=True)
class Container:
    """The installed service, with a folder to work in that holds none of its sources."""

    context: Path
    venv: Path
    folder: Path

    @property
    def package(self) -> Path:
        [package] = self.venv.glob("lib/python*/site-packages/image_gateway")
        return package

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "PATH": f"{self.venv / 'bin'}:/usr/bin:/bin",
            "S3_BUCKET": "images",
            "AWS_REGION": "us-east-1",
            **more,
        }

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        # Looked up by hand: subprocess would search the PATH of this process.
        program = shutil.which(command[0], path=self.environment()["PATH"])
        assert program is not None
        return subprocess.run(
            [program, *command[1:]],
            env=self.environment(**variables),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )


def pip_commands() -> list[list[str]]:
    """The arguments of each `pip` of the Dockerfile, in order."""
    runs = re.findall(r"^RUN (.*)$", DOCKERFILE, re.M)
    commands = [shlex.split(command) for run in runs for command in run.split("&&")]
    return [command[1:] for command in commands if command[0] == "pip"]


def json_of(instruction: str) -> list[str]:
    """The JSON list that ends the only line of an instruction of the gateway's stage."""
    stage = DOCKERFILE.partition(" AS gateway\n")[2].partition("\nFROM ")[0]
    [text] = re.findall(rf"^{instruction}[^\[]*(\[.*\])$", stage, re.M)
    return json.loads(text)


def copy_context(target: Path) -> None:
    """Copy what .dockerignore, exceptions from `*` and exceptions from these, lets into the build."""
    first, *lines = (ROOT / ".dockerignore").read_text().split()
    assert first == "*"
    allowed = [line.removeprefix("!") for line in lines if line.startswith("!")]
    hidden = [line.removeprefix("**/") for line in lines if not line.startswith("!")]
    for source in (path for pattern in allowed for path in ROOT.glob(pattern)):
        place = target / source.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, symlinks=True, ignore=shutil.ignore_patterns(*hidden))
        else:
            shutil.copy(source, place)


def pip_environment() -> dict[str, str]:
    """This environment with its settings of pip, without what would make other packages visible.

    Nothing is compiled but what is imported.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return {**kept, "PIP_NO_COMPILE": "1"}


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Container:
    folder = tmp_path_factory.mktemp("container")
    container = Container(folder / "context", folder / "venv", folder / "data")
    container.folder.mkdir()
    copy_context(container.context)
    # Without a pip of its own, which Debian's Python cannot give it: this one's pip installs into it.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", container.venv], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(container.venv / "bin" / "python")]
    for arguments in pip_commands():
        subprocess.run(
            [*pip, *arguments],
            cwd=container.context,
            env=pip_environment(),
            check=True,
            timeout=INSTALL_SECONDS,
        )
    return container


@pytest.fixture
def server(container: Container, tmp_path: Path) -> Iterator[tuple[ManagedProcess, str]]:
    """The entry point with the default command, and its port."""
    [port] = find_free_ports(1)
    script = container.context / "deploy" / Path(json_of("ENTRYPOINT")[-1]).name
    command = [*json_of("ENTRYPOINT")[:-1], str(script), *json_of("CMD")]
    environment = container.environment(
        HOST="127.0.0.1", PORT=str(port), DATABASE_URL=f"sqlite:///{tmp_path}/catalog.db"
    )
    process = ManagedProcess("the container", command, env=environment, log=tmp_path / "log")
    yield process, str(port)
    process.stop(grace=10)


def files_below(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(folder)) for path in found}


def test_the_dockerfile_installs_locked_packages_first_and_then_only_the_package() -> None:
    locked, build, package, removed = pip_commands()
    assert locked == ["install", "--require-hashes", "-r", "requirements/runtime.txt"]
    assert build == ["install", "--require-hashes", "-r", "requirements/build.txt"]
    assert package == ["install", "--no-deps", "--no-build-isolation", "."]
    assert removed == ["uninstall", "--yes", "-r", "requirements/build.txt"]


def test_what_built_the_package_does_not_stay(container: Container) -> None:
    assert list(container.venv.glob("lib/python*/site-packages/setuptools*")) == []


def test_every_file_of_the_package_is_installed(container: Container) -> None:
    expected = files_below(container.context / "image_gateway")
    assert {"openapi.yaml", "catalog/migrations/env.py"} <= expected
    assert any(name.startswith("catalog/migrations/versions/0") for name in expected)
    assert files_below(container.package) == expected


def test_the_contract_is_installed_as_a_file_of_its_own(container: Container) -> None:
    contract = container.package / "openapi.yaml"
    assert not contract.is_symlink()
    assert contract.read_bytes() == (ROOT / "openapi.yaml").read_bytes()


def test_the_packages_agree_with_each_other(container: Container) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(container.venv / "bin" / "python"), "check"]
    assert subprocess.run(pip, env=pip_environment(), timeout=60).returncode == 0


def test_the_tables_are_made_in_another_folder(container: Container, tmp_path: Path) -> None:
    database = {"DATABASE_URL": f"sqlite:///{tmp_path}/catalog.db"}
    upgraded = container.run("image-gateway", "db", "upgrade", **database)
    assert upgraded.returncode == 0, upgraded.stderr
    revision = upgraded.stdout.removeprefix("tables: empty -> ").strip()
    current = container.run("image-gateway", "db", "current", **database)
    assert current.stdout == f"tables: {revision}, needed: {revision}\n"


@pytest.mark.parametrize(("port", "status", "said"), [("3000", 0, "PORT=3000\n"), ("many", 78, "PORT=many ")])
def test_the_settings_are_read_in_another_folder(
    container: Container, port: str, status: int, said: str
) -> None:
    result = container.run("image-gateway", "config", PORT=port)
    assert result.returncode == status, result.stderr
    assert said in result.stdout + result.stderr


def test_the_entry_point_serves_until_sigterm(
    container: Container, server: tuple[ManagedProcess, str]
) -> None:
    process, port = server
    # A proxy where nobody listens: the health check must not ask it.
    variables = {"PORT": port, "http_proxy": "http://127.0.0.1:9"}
    check = json_of("HEALTHCHECK")
    process.wait_until(lambda: container.run(*check, **variables).returncode == 0, seconds=60)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(30) == 0
    assert container.run(*check, **variables).returncode != 0


def test_the_entry_point_passes_other_commands_on(container: Container) -> None:
    script = str(container.context / "deploy" / "entrypoint.sh")
    assert container.run("sh", script, "--version").stdout.startswith("image-gateway")
