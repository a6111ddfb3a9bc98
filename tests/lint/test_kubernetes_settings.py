"""The settings of deploy/kubernetes: every one, valid, and each in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_gateway.catalog.database import DatabaseUrlError, open_engine
from image_gateway.settings import Settings, SettingsError, load_settings
from tests.support.kustomize import build, read_env_file, variables_of
from tests.support.manifests import BASE, FIELDS, FILLED_IN, find

CREDENTIALS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
# A database URL may have a password, and so may Redis's.
SECRETS = {name for name, field in FIELDS.items() if {"secret", "database"} & field.metadata.keys()}


def test_every_setting_is_in_the_config_map_or_the_secret_and_nothing_else() -> None:
    settings, secrets = variables_of(find("ConfigMap")), variables_of(find("Secret"))
    assert settings.keys() == FIELDS.keys() - SECRETS
    assert secrets.keys() == SECRETS | CREDENTIALS


def test_values_are_taken_as_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text('# a comment\n\nA="quoted"\nB=x=y # no comment\nC=\n')
    assert read_env_file(file) == {"A": '"quoted"', "B": "x=y # no comment", "C": ""}
    for kind in ("ConfigMap", "Secret"):
        values = variables_of(find(kind)).values()
        assert [value for value in values if value.strip() != value or value[:1] in ("'", '"')] == []


def test_the_base_says_what_each_setting_is() -> None:
    text = "".join((BASE / file).read_text() for file in ("settings.env", "secrets.env"))
    said = {name: f"\n# {field.metadata['doc']}\n{name}=" for name, field in FIELDS.items()}
    assert [name for name, lines in said.items() if lines not in text] == []


def test_the_settings_are_valid_and_differ_from_the_defaults_where_a_cluster_needs_it(
    settings: Settings,
) -> None:
    plain = load_settings({"S3_BUCKET": "images", "AWS_REGION": "us-east-1"})
    base = {document["kind"]: variables_of(document) for document in build(BASE) if "data" in document}
    required = {"S3_BUCKET": "images", "AWS_REGION": "us-east-1", "OIDC_ISSUER": "https://id.example.com"}
    of_base = load_settings(
        {**base["ConfigMap"], **base["Secret"], **required, **FILLED_IN, "OIDC_AUDIENCE": "a"}
    )
    ours, defaults = dict(of_base.masked()), dict(plain.masked())
    differing = {name for name in ours if ours[name] != defaults[name]}
    assert differing == {
        "HOST", "TRUSTED_PROXY_HOPS", "GRACEFUL_TIMEOUT_SECONDS", "METRICS_PORT", "METRICS_HOST",
        "RANGE_CACHE_DIR", "AUTH_MODE", "OIDC_ISSUER", "OIDC_AUDIENCE", *FILLED_IN,
    }  # fmt: skip
    assert settings.host == settings.metrics_host == "0.0.0.0"
    assert settings.trusted_proxy_hops == 1


def test_nothing_starts_with_the_secrets_of_the_example() -> None:
    secrets = variables_of(find("Secret"))
    assert {name for name, value in secrets.items() if value == "fill-in"} == FILLED_IN.keys()
    for name in FILLED_IN.keys() - {"DATABASE_URL"}:
        with pytest.raises(SettingsError, match=name):
            load_settings(variables_of(find("ConfigMap")) | secrets | {**FILLED_IN, name: "fill-in"})
    with pytest.raises(DatabaseUrlError):
        open_engine(secrets["DATABASE_URL"])
