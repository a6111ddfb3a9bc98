"""What an operator is told at the start about settings that do not fit each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from image_gateway.cli.main import cli
from image_gateway.serving.startup import describe_endpoints, warn_of_any_host, warn_of_no_front_door
from image_gateway.settings import load_settings

LEAST = {"S3_BUCKET": "images", "AWS_REGION": "us-east-1"}
CLOUDFRONT = {
    "CLOUDFRONT_DOMAIN": "d1.cloudfront.net",
    "CLOUDFRONT_KEY_PAIR_ID": "K2JCJMDEHXQW5F",
    "CLOUDFRONT_PRIVATE_KEY_PEM": "{0}BEGIN PRIVATE KEY{0}\nMIIE\n{0}END PRIVATE KEY{0}".format("-" * 5),
}


def warnings_of(**variables: str) -> list[str]:
    lines = describe_endpoints(load_settings({**LEAST, **variables}))
    return [line for line in lines if line.startswith("warning: ")]


@pytest.mark.parametrize(
    ("variables", "given", "instead"),
    [
        ({"GATEWAY_AUTH_MODE": "cookie"}, "GATEWAY_AUTH_MODE=cookie", "GATEWAY_AUTH_MODE=url"),
        (CLOUDFRONT, "CLOUDFRONT_AUTH_MODE=cookie", "CLOUDFRONT_AUTH_MODE=url"),
        (
            {**CLOUDFRONT, "GATEWAY_AUTH_MODE": "cookie"},
            "CLOUDFRONT_AUTH_MODE=cookie and GATEWAY_AUTH_MODE=cookie",
            "CLOUDFRONT_AUTH_MODE=url and GATEWAY_AUTH_MODE=url",
        ),
    ],
    ids=["gateway", "CloudFront", "both"],
)
def test_cookies_that_browsers_would_refuse_are_warned_of(
    variables: dict[str, str], given: str, instead: str
) -> None:
    (line,) = warnings_of(**variables)
    assert given in line
    assert "CORS_ALLOW_ORIGIN=*" in line
    assert line.endswith(f"set CORS_ALLOW_ORIGIN to the origins of your pages, or {instead}")


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"GATEWAY_AUTH_MODE": "cookie", "CORS_ALLOW_ORIGIN": "https://app.example.com"},
        {**CLOUDFRONT, "CORS_ALLOW_ORIGIN": "https://app.example.com"},
        {**CLOUDFRONT, "CLOUDFRONT_AUTH_MODE": "url"},
        {"CLOUDFRONT_AUTH_MODE": "cookie"},
    ],
    ids=["defaults", "named origin", "CloudFront, named origin", "CloudFront URLs", "no CloudFront"],
)
def test_what_works_is_not_warned_of(variables: dict[str, str]) -> None:
    assert warnings_of(**variables) == []


def test_config_warns_of_cookies_that_browsers_would_refuse(tmp_path: Path) -> None:
    variables = {**LEAST, "GATEWAY_AUTH_MODE": "cookie", "DATABASE_URL": f"sqlite:///{tmp_path}/catalog.db"}
    shown = CliRunner().invoke(cli, ["config"], env=variables)
    assert shown.exit_code == 0
    assert "# warning: GATEWAY_AUTH_MODE=cookie" in shown.stderr
    assert "warning" not in shown.stdout


@pytest.mark.parametrize(
    ("hosts", "environ", "lines"),
    [
        (["127.0.0.1", "::1", "localhost"], {}, 0),
        (["0.0.0.0"], {}, 1),
        (["127.0.0.1", "10.0.0.7"], {}, 1),
        (["0.0.0.0"], {"PUBLIC_URL": "https://images.example.com"}, 0),
        (["0.0.0.0"], {"ALLOWED_HOSTS": "images.example.com"}, 0),
    ],
)
def test_an_open_gateway_that_believes_any_host_is_warned_of(
    hosts: list[str], environ: dict[str, str], lines: int
) -> None:
    said = warn_of_any_host(load_settings({**LEAST, **environ}), hosts)
    assert len(said) == lines
    assert all("PUBLIC_URL" in line and "ALLOWED_HOSTS" in line for line in said)


@pytest.mark.parametrize(
    ("hosts", "environ", "lines"),
    [
        (["127.0.0.1", "::1", "localhost"], {}, 0),
        (["0.0.0.0"], {}, 1),
        (["127.0.0.1", "10.0.0.7"], {}, 1),
        (["0.0.0.0"], {"TRUSTED_PROXY_HOPS": "1"}, 0),
    ],
)
def test_a_gateway_that_clients_reach_without_a_front_door_is_warned_of(
    hosts: list[str], environ: dict[str, str], lines: int
) -> None:
    said = warn_of_no_front_door(load_settings({**LEAST, **environ}), hosts)
    assert len(said) == lines
    assert all("TRUSTED_PROXY_HOPS" in line and "docs/how-to/front-door.md" in line for line in said)
