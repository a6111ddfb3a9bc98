"""Mistakes are found at start, all at once, each with its variable; nothing is left running."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from image_gateway.cli.main import cli
from image_gateway.local.ports import find_free_ports
from image_gateway.local.processes import ManagedProcess, StartFailed
from image_gateway.serving.command import gunicorn_command
from tests.live.conftest import StartGateway
from tests.live.support import COMMAND, ROOT, run_cli
from tests.support.keys import make_key, pem_of

CLOUDFRONT = {"CLOUDFRONT_DOMAIN": "d1.cloudfront.net", "CLOUDFRONT_KEY_PAIR_ID": "K1"}


def test_all_mistakes_at_once(start: StartGateway) -> None:
    with pytest.raises(StartFailed) as caught:
        start(AUTH_MODE="magic", WEB_WORKERS="0", S3_BUCKET="", CLOUDFRONT_DOMAIN="x.example")
    text = str(caught.value)
    assert "status 78" in text
    for line in (
        "AUTH_MODE=magic must be",
        "WEB_WORKERS=0 must be",
        "S3_BUCKET is required",
        "CLOUDFRONT_KEY_PAIR_ID",
    ):
        assert line in text
    assert "Traceback" not in text


def test_a_broken_key_stops_the_start(start: StartGateway) -> None:
    pem = pem_of(make_key())
    broken = pem.replace(pem.splitlines()[5], pem.splitlines()[5][::-1])
    with pytest.raises(StartFailed, match="CLOUDFRONT_PRIVATE_KEY_PEM") as caught:
        start(**CLOUDFRONT, CLOUDFRONT_PRIVATE_KEY_PEM=broken.replace("\n", "\\n"))
    assert "status 78" in str(caught.value)
    assert pem.splitlines()[3] not in str(caught.value)


def test_a_good_key_starts(start: StartGateway) -> None:
    gateway = start(**CLOUDFRONT, CLOUDFRONT_PRIVATE_KEY_PEM=pem_of(make_key()).replace("\n", "\\n"))
    gateway.stop()
    assert not gateway.process.is_alive()


def test_tables_that_are_missing_stop_the_start(start: StartGateway, tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="image-gateway db upgrade"):
        start(DATABASE_URL=f"sqlite:///{tmp_path}/empty.db")


def test_the_sync_worker_is_refused(environment: dict[str, str]) -> None:
    command = [*gunicorn_command(), "--worker-class", "sync", "--threads", "1"]
    variables = {**environment, "PORT": str(find_free_ports(1)[0]), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 78
    assert "sync worker" in ended.stderr


@pytest.mark.parametrize("server", ["gunicorn", "flask"])
def test_the_top_level_files_serve(environment: dict[str, str], tmp_path: Path, server: str) -> None:
    port = find_free_ports(1)[0]
    commands = {
        "gunicorn": [sys.executable, "-m", "gunicorn", "--check-config", "wsgi:app"],
        "flask": [sys.executable, "-m", "flask", "--app", "wsgi", "routes"],
    }
    variables = {**environment, "PORT": str(port), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(
        commands[server], env=variables, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    if server == "flask":
        assert "/v1/images/<image_id>/range" in ended.stdout


def test_config_prints_everything_but_secrets(environment: dict[str, str]) -> None:
    pem = pem_of(make_key())
    shown = run_cli({**environment, **CLOUDFRONT, "CLOUDFRONT_PRIVATE_KEY_PEM": pem}, "config")
    assert shown.returncode == 0, shown.stderr
    assert "CLOUDFRONT_PRIVATE_KEY_PEM=********" in shown.stdout
    assert "S3_BUCKET=images" in shown.stdout
    assert "PRIVATE KEY-" not in shown.stdout + shown.stderr


def test_config_tells_every_mistake(environment: dict[str, str]) -> None:
    shown = run_cli({**environment, "PORT": "80x", "IMAGE_BASE_PATH": "/a?b"}, "config")
    assert shown.returncode == 78
    assert "PORT=80x" in shown.stderr
    assert "IMAGE_BASE_PATH=/a?b" in shown.stderr


@pytest.mark.parametrize(
    "command",
    [
        [],
        *(
            [name]
            for name in (
                "serve",
                "dev",
                "demo",
                "config",
                "db",
                "bucket",
                "publish",
                "trace",
                "sweep",
                "upload",
                "download",
                "images",
                "share",
            )
        ),
    ],
)
def test_help_shows_an_example(command: list[str]) -> None:
    shown = CliRunner().invoke(cli, [*command, "--help"])
    assert shown.exit_code == 0
    if command and command[0] not in ("db", "bucket", "images", "share"):
        assert "Example: " in shown.output


@pytest.mark.parametrize("command", [["db", "upgrade"], ["bucket", "init"], ["publish", "x"], ["serve"]])
def test_commands_say_what_is_missing_without_a_trace(command: list[str], tmp_path: Path) -> None:
    ended = run_cli({"S3_BUCKET": "", "AWS_REGION": ""}, *command, cwd=tmp_path)
    assert ended.returncode == 78
    assert "S3_BUCKET is required" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("variables", "warned"), [({}, True), ({"TRUSTED_PROXY_HOPS": "1"}, False)])
def test_the_log_warns_when_clients_reach_gunicorn_itself(
    environment: dict[str, str], tmp_path: Path, variables: dict[str, str], warned: bool
) -> None:
    beyond = {"HOST": "0.0.0.0", "PORT": str(find_free_ports(1)[0]), "ALLOW_INSECURE_DEV_AUTH": "true"}
    command = [str(COMMAND), "serve"]
    process = ManagedProcess(
        "the gateway", command, env={**os.environ, **environment, **beyond, **variables}, log=tmp_path / "log"
    )
    try:
        process.wait_until(lambda: "PUBLIC_URL" in process.log.read_text(), seconds=60)
        process.wait_until(lambda: "Booting worker" in process.log.read_text(), seconds=60)
    finally:
        process.stop(grace=3)
    assert ("docs/how-to/front-door.md" in process.log.read_text()) is warned
