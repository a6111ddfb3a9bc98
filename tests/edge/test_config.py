"""The rendered configuration, and the command that writes it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from image_gateway.cli.main import cli
from image_gateway.components import store_address
from image_gateway.edge.config import render_config
from image_gateway.settings import SettingsError, load_settings

TOKEN = "t" * 40
LEAST = {"S3_BUCKET": "images", "AWS_REGION": "eu-central-1", "EDGE_TOKEN": TOKEN}
LOCAL = {**LEAST, "S3_ENDPOINT": "http://127.0.0.1:8333", "S3_FORCE_PATH_STYLE": "true"}


def render(**environ: str) -> str:
    settings = load_settings({**LOCAL, **environ})
    return render_config(settings, store_address(settings))


def test_a_token_is_needed() -> None:
    settings = load_settings({name: value for name, value in LOCAL.items() if name != "EDGE_TOKEN"})
    with pytest.raises(SettingsError, match="EDGE_TOKEN is missing"):
        render_config(settings, store_address(settings))


def test_buffers_of_the_kernel_are_not_filled_first() -> None:
    """With slices tcp_nopush holds the end of each answer back for 40 ms."""
    text = render()
    assert "tcp_nopush off;" in text
    assert "tcp_nodelay on;" in text


def test_errors_that_name_urls_are_not_in_nginxs_own_log() -> None:
    alone = [line for line in render().splitlines() if line.lstrip().startswith("error_log")]
    assert alone == ["error_log /var/log/nginx/error.log alert;"]
    reported = render(METRICS_PORT="9090", EDGE_REPORT_ADDRESS="10.0.0.1:8125")
    assert "error_log syslog:server=10.0.0.1:8125,tag=edge_error,nohostname error;" in reported


def test_aws_is_asked_by_its_name_over_verified_tls() -> None:
    settings = load_settings({**LEAST, "EDGE_RESOLVER": "10.0.0.2"})
    text = render_config(settings, store_address(settings))
    host = "images.s3.eu-central-1.amazonaws.com"
    assert f"proxy_pass https://{host}:443$object;" in text
    assert f"proxy_set_header Host {host};" in text
    assert f"proxy_ssl_name {host};" in text
    assert "proxy_ssl_verify on;" in text
    assert "resolver 10.0.0.2 valid=10s ipv6=off;" in text
    assert "upstream store" not in text


def test_a_local_store_is_an_upstream_with_kept_connections() -> None:
    text = render()
    assert "server 127.0.0.1:8333;" in text
    assert "proxy_pass http://store$object;" in text
    assert "proxy_ssl" not in text


def test_gateways_and_addresses_of_version_6() -> None:
    text = render(EDGE_GATEWAY="10.0.0.5:3000,gateway.internal:3001", EDGE_HOST="::")
    assert "server 10.0.0.5:3000;" in text
    assert "server gateway.internal:3001;" in text
    assert "listen [::]:8080 backlog" in text


def test_without_a_cache_nothing_is_kept() -> None:
    text = render(EDGE_CACHE_MAX_BYTES="0")
    assert "proxy_cache blocks" not in text
    assert "keys_zone=blocks" not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EDGE_TOKEN", "short"),
        ("EDGE_TOKEN", "x" * 40 + '"'),
        ("EDGE_CACHE_DIR", "relative"),
        ("EDGE_CACHE_DIR", "/tmp/x; include /etc/passwd"),
        ("EDGE_RUN_DIR", "/tmp/$uri"),
        ("EDGE_USER", "root;"),
        ("EDGE_RESOLVER", "10.0.0.1 evil"),
        ("EDGE_GATEWAY", "10.0.0.1"),
        ("EDGE_GATEWAY", "http://10.0.0.1:3000"),
        ("EDGE_REAL_IP_FROM", "everybody"),
        ("EDGE_TLS_CERTIFICATE", "/only/one.pem"),
        ("EDGE_REPORT_ADDRESS", "127.0.0.1:8125"),
        ("EDGE_SLICE_BYTES", "1"),
    ],
)
def test_what_nginx_would_read_otherwise_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({**LOCAL, name: value})
    assert any(line.startswith("EDGE_") for line in caught.value.problems)
    assert TOKEN not in str(caught.value)


def test_the_command_writes_a_file_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "nginx.conf"
    file.write_text("old")
    file.chmod(0o644)
    ended = CliRunner(env=LOCAL).invoke(cli, ["edge", "config", "--output", str(file)])
    assert ended.exit_code == 0, ended.output
    assert "set TRUSTED_PROXY_HOPS=1" in ended.stderr
    assert TOKEN not in ended.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f'X-Edge-Token "{TOKEN}"' in file.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["nginx.conf"]


def test_the_command_prints_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = CliRunner(env={**LOCAL, "TRUSTED_PROXY_HOPS": "1"}).invoke(cli, ["edge", "config"])
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout.startswith("# nginx in front of image-gateway.")


def test_the_token_is_masked_where_settings_are_shown() -> None:
    settings = load_settings(LOCAL)
    assert TOKEN not in repr(settings)
    assert dict(settings.masked())["EDGE_TOKEN"] == "********"
