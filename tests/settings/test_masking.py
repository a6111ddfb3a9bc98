"""The environment → settings: secrets are never told."""

from __future__ import annotations

import traceback

import pytest

from image_gateway.settings import MASK, Settings, SettingsError
from tests.support.environments import CLOUDFRONT, KEY, VARIABLES, load, problems


def shown_by(settings: Settings) -> str:
    return f"{settings!r} {settings} {dict(settings.masked())}"


def test_masked_shows_every_variable_once_and_in_its_own_spelling() -> None:
    shown = list(load(PORT="80", CORS_ALLOW_ORIGIN="https://a.example,https://b.example").masked())
    assert [name for name, _ in shown] == VARIABLES
    assert dict(shown)["PORT"] == "80"
    assert dict(shown)["S3_FORCE_PATH_STYLE"] == "false"
    assert dict(shown)["CORS_ALLOW_ORIGIN"] == "https://a.example,https://b.example"
    assert dict(shown)["CLOUDFRONT_PRIVATE_KEY_PEM"] == ""


def test_the_private_key_is_not_shown() -> None:
    settings = load(**CLOUDFRONT)
    assert settings.cloudfront_private_key_pem == KEY
    assert dict(settings.masked())["CLOUDFRONT_PRIVATE_KEY_PEM"] == MASK
    assert "HIDDEN" not in shown_by(settings)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://user:hunter2",
        "postgresql+psycopg://u/x:hunter2@h",
        "postgresql+psycopg:/u:hunter2@h",
        "hunter2",
    ],
)
def test_a_password_in_the_wrong_place_is_not_shown_either(url: str) -> None:
    shown = dict(load(DATABASE_URL=url).masked())["DATABASE_URL"]
    assert MASK in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize("variable", ["S3_ENDPOINT", "CORS_ALLOW_ORIGIN"])
def test_who_logs_in_to_a_url_is_not_shown(variable: str) -> None:
    (line,) = problems(**{variable: "http://hunter2@h"})
    assert line.startswith(f"{variable}=http://{MASK}@h ")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://user:hunter2@db/images",
        "postgresql+psycopg://:hunter2@db/images",
        "postgresql+psycopg://user:x%40hunter2@db:5432/images?sslmode=require",
        "postgresql+psycopg://user:a/b:hunter2@db/images",
        "postgresql+psycopg://user:x@hunter2@db/images",
        "postgresql+psycopg://user@corp:hunter2@db/images",
        "postgresql+psycopg://db/images?user=me&password=hunter2",
    ],
)
def test_the_database_password_is_not_shown(url: str) -> None:
    settings = load(DATABASE_URL=url)
    assert settings.database_url == url
    assert "hunter2" not in shown_by(settings)
    assert "@db" in shown_by(settings) or "//db/" in shown_by(settings)


@pytest.mark.parametrize(
    "environ",
    [
        {"CLOUDFRONT_PRIVATE_KEY_PEM": KEY},
        {**CLOUDFRONT, "CLOUDFRONT_DOMAIN": "https://d1.cloudfront.net", "PORT": "x"},
        {**CLOUDFRONT, "CLOUDFRONT_KEY_PAIR_ID": KEY},
        {"S3_ENDPOINT": "http://user:SECRET@s3"},
    ],
    ids=["key alone", "other mistakes", "key in the wrong variable", "credentials in an endpoint"],
)
def test_mistakes_hold_no_secret_and_take_one_line_each(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(**environ)
    assert "HIDDEN" not in "".join(traceback.format_exception(caught.value))
    assert all(len(line.splitlines()) == 1 for line in caught.value.problems)
