from __future__ import annotations

import io
import re
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from image_gateway.settings import Settings, SettingsSchema, load_settings
from image_gateway.storage.bucket import ABORT_AFTER_DAYS

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / ".env.example"
COMPOSE = ["docker-compose.yml", "docker-compose.minio.yml"]
CREDENTIALS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
FIELDS = {str(field.data_key): field for field in SettingsSchema().fields.values()}


def read(name: str) -> str:
    return (ROOT / name).read_text()


def load_yaml(name: str) -> dict[str, Any]:
    return yaml.safe_load(read(name))


def services_of(name: str, *, ours: bool) -> dict[str, dict[str, Any]]:
    """The services that are built here, or the others, by name."""
    services = load_yaml(name)["services"]
    return {service: body for service, body in services.items() if ("build" in body) is ours}


def with_defaults(value: str) -> str:
    """What compose makes of a value when no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def environment_of(service: dict[str, Any]) -> dict[str, str]:
    return {name: with_defaults(value) for name, value in service["environment"].items()}


def example_settings(text: str) -> Settings:
    values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return load_settings({name: value or "" for name, value in values.items()})


def pinned_names() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==", read("requirements/runtime.txt"), re.M))


def required_names() -> list[str]:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].split("\n")
    return [re.split(r"[ \[<>=]", line)[0] for line in lines if line]


def test_the_example_names_every_variable_once_in_order() -> None:
    names = re.findall(r"^#?([A-Z][A-Z0-9_]*)=", EXAMPLE.read_text(), re.M)
    assert names == [*FIELDS, *CREDENTIALS]


@pytest.mark.parametrize("name", FIELDS)
def test_the_example_tells_meaning_and_default(name: str) -> None:
    shown = dict(example_settings("S3_BUCKET=images\nAWS_REGION=us-east-1").masked())
    mark = "" if FIELDS[name].required else "#"
    assert f"# {FIELDS[name].metadata['doc']}\n{mark}{name}={shown[name]}\n" in EXAMPLE.read_text()


def test_the_example_holds_no_credentials() -> None:
    secrets = [name for name, field in FIELDS.items() if "secret" in field.metadata]
    values = dict(re.findall(r"^#?([A-Z0-9_]+)=(.*)$", EXAMPLE.read_text(), re.M))
    assert {values[name] for name in [*secrets, *CREDENTIALS]} == {""}


def test_the_example_is_usable_as_it_is_and_with_its_defaults_set() -> None:
    text = EXAMPLE.read_text()
    assert example_settings(text) == example_settings(re.sub(r"^#(?=[A-Z0-9_]+=)", "", text, flags=re.M))


def test_the_contract_parses() -> None:
    assert load_yaml("openapi.yaml")["openapi"].startswith("3.")


@pytest.mark.parametrize("name", COMPOSE)
def test_every_image_of_compose_is_pinned_by_tag_and_digest(name: str) -> None:
    for service in services_of(name, ours=False).values():
        assert re.fullmatch(r"[a-z./]+:(?!latest)[\w.-]+@sha256:[0-9a-f]{64}", service["image"])


def test_minio_comes_from_quay() -> None:
    assert load_yaml(COMPOSE[1])["services"]["minio"]["image"].startswith("quay.io/minio/minio:")


def test_minio_keeps_unfinished_uploads_as_long_as_the_bucket_rule() -> None:
    environment = load_yaml(COMPOSE[1])["services"]["minio"]["environment"]
    assert environment["MINIO_API_STALE_UPLOADS_EXPIRY"] == f"{24 * ABORT_AFTER_DAYS}h"


@pytest.mark.parametrize("name", COMPOSE)
def test_every_port_of_compose_is_published_on_loopback_only(name: str) -> None:
    ports = [port for service in load_yaml(name)["services"].values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_gives_our_services_usable_settings_and_nothing_unknown(name: str) -> None:
    for service in services_of(name, ours=True).values():
        environment = environment_of(service)
        assert set(environment) <= {*FIELDS, *CREDENTIALS}
        load_settings(environment)


@pytest.mark.parametrize("name", COMPOSE)
def test_presigned_urls_of_compose_name_a_port_that_the_store_publishes(name: str) -> None:
    services = services_of(name, ours=True)
    public = load_settings(environment_of(services["gateway"])).s3_public_endpoint or ""
    store = load_yaml(name)["services"][_store_of(name)]
    port = public.removeprefix("http://localhost:")
    assert f"127.0.0.1:{port}:{port}" in store["ports"]
    assert "S3_PUBLIC_ENDPOINT" not in services["setup"]["environment"]


@pytest.mark.parametrize("name", COMPOSE)
def test_the_gateway_of_compose_waits_for_the_bucket_and_is_given_time_to_end(name: str) -> None:
    services = services_of(name, ours=True)
    store = _store_of(name)
    gateway = services["gateway"]
    assert services["setup"]["command"] == ["bucket", "init"]
    assert services["setup"]["depends_on"] == {store: {"condition": "service_healthy"}}
    assert gateway["depends_on"] == {"setup": {"condition": "service_completed_successfully"}}
    grace = load_settings(environment_of(gateway)).graceful_timeout_seconds
    assert int(gateway["stop_grace_period"].removesuffix("s")) > grace


def _store_of(name: str) -> str:
    """The service that is neither ours nor nginx."""
    [store] = services_of(name, ours=False).keys() - {"edge"}
    return store


@pytest.mark.parametrize("name", COMPOSE)
def test_clients_of_compose_reach_nginx_alone(name: str) -> None:
    services = load_yaml(name)["services"]
    edge, settings = services["edge"], load_settings(environment_of(services["edge-config"]))
    assert "ports" not in services["gateway"]
    assert [port.rpartition(":")[2] for port in edge["ports"]] == [str(settings.edge_port)]
    assert settings == load_settings(environment_of(services["setup"]))
    assert load_settings(environment_of(services["gateway"])).edge_token == settings.edge_token
    assert settings.edge_gateway == ("gateway:3000",)
    assert settings.trusted_proxy_hops == 1
    # nginx writes where something is mounted for it.
    mounted = {volume.split(":")[1] for volume in edge["volumes"]}
    assert settings.edge_cache_dir in mounted
    assert settings.edge_run_dir in edge["tmpfs"]
    written = Path(services["edge-config"]["command"][-1])
    assert edge["command"][2] == f"/etc/nginx/edge/{written.name}"
    assert set(edge["depends_on"]) == {"edge-config", "gateway"}


def test_the_compose_files_share_no_volume() -> None:
    assert len({load_yaml(name)["name"] for name in COMPOSE}) == len(COMPOSE)


def test_the_image_runs_as_a_user_without_rights() -> None:
    user = re.findall(r"^USER (\S+)$", read("Dockerfile"), re.M)[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_the_base_images_are_one_and_pinned() -> None:
    bases = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", read("Dockerfile"), re.M)
    stages = {stage for _, stage in bases}
    [image] = {base for base, _ in bases} - stages
    # Without --target the gateway is built.
    assert bases[-1][0] == "gateway"
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+@sha256:[0-9a-f]{64}", image)


def test_the_image_listens_everywhere_and_keeps_its_catalog_on_its_volume() -> None:
    stage = read("Dockerfile").partition(" AS gateway\n")[2].partition("\nFROM ")[0]
    environment = dict(re.findall(r"\b([A-Z_]+)=([^\s\\]+)", stage))
    settings = load_settings({"S3_BUCKET": "images", "AWS_REGION": "us-east-1", **environment})
    [volume] = re.findall(r"^VOLUME (\S+)$", stage, re.M)
    assert (settings.host, settings.port) == ("0.0.0.0", 3000)
    assert settings.database_url.startswith(f"sqlite:///{volume}/")


@pytest.mark.parametrize("text", ["pip install --require-hashes -r ", "\nHEALTHCHECK "])
def test_the_dockerfile_says(text: str) -> None:
    assert text in read("Dockerfile")


@pytest.mark.parametrize("name", [*required_names(), "cryptography", "psycopg"])
def test_what_the_container_installs_is_pinned(name: str) -> None:
    assert name in pinned_names()
