"""URLs of parts are what the SDK would sign, for every key, address and kind of credentials."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from image_gateway.errors import StoreError
from image_gateway.storage.client import StoreAddress, StoreClients
from image_gateway.storage.objects import ObjectStore
from image_gateway.storage.part_signer import TARGET_SECONDS, PartSigner
from tests.support.clock import Clock

ADDRESSES: dict[str, dict[str, Any]] = {
    "AWS": {},
    "AWS by path": {"path_style": True},
    "a store by path": {"endpoint": "http://127.0.0.1:9000", "path_style": True},
    "a store by host name": {"endpoint": "https://store.example"},
    "a default port": {"endpoint": "https://Store.Example:443", "path_style": True},
    "a port of the other scheme": {"endpoint": "http://store.example:443"},
    "an IPv6 address": {"endpoint": "http://[::1]:9000", "path_style": True},
    "a path": {"endpoint": "https://store.example/s3", "path_style": True},
    "a public endpoint": {
        "endpoint": "http://store.internal:9000",
        "public_endpoint": "https://images.example.com",
        "path_style": True,
    },
}
# The others are thorough.
QUICK = ("an IPv6 address", "a public endpoint")
BUCKETS = ("images", "dotted.bucket.name", "Old_Bucket")
TOKENS = (None, "session/token+with=signs&more%20")
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
# What stands in keys of the gateway, and what else a key may hold.
TEXTS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=40)
KEYS = st.from_regex(r"\A([A-Za-z0-9._~-]{1,9}/){0,3}[0-9a-f]{40}/disk\.img\Z") | TEXTS
LIFETIMES = st.integers(1, 604_800)
PARTS = st.integers(1, 10_000)
LENGTHS = st.none() | st.integers(0, 5 * 1024**3)


@pytest.fixture(scope="module")
def signers() -> dict[tuple[str, str, str | None], tuple[StoreClients, PartSigner, Clock]]:
    return {}


def signer_of(
    made: dict[Any, Any], monkeypatch: pytest.MonkeyPatch, name: str, bucket: str, token: str | None
) -> tuple[StoreClients, PartSigner, Clock]:
    """Clients with these credentials; made once, as the SDK takes long for it."""
    if (name, bucket, token) not in made:
        with monkeypatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPx=")
            patch.delenv("AWS_SESSION_TOKEN", raising=False)
            if token is not None:
                patch.setenv("AWS_SESSION_TOKEN", token)
            clients, clock = StoreClients(StoreAddress(bucket, "eu-central-1", **ADDRESSES[name])), Clock()
            clients.signing_credentials()
            made[name, bucket, token] = clients, PartSigner(clients, clock, Clock()), clock
    found: tuple[StoreClients, PartSigner, Clock] = made[name, bucket, token]
    return found


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.thorough, id=name)
        for name in ADDRESSES
    ],
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bucket=st.sampled_from(BUCKETS),
    token=st.sampled_from(TOKENS),
    moment=MOMENTS,
    key=KEYS,
    upload_id=TEXTS,
    number=PARTS,
    lifetime=LIFETIMES,
    length=LENGTHS,
)
def test_a_url_is_the_sdks_byte_for_byte(
    signers: dict[Any, Any],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    bucket: str,
    token: str | None,
    moment: datetime,
    key: str,
    upload_id: str,
    number: int,
    lifetime: int,
    length: int | None,
) -> None:
    clients, signer, clock = signer_of(signers, monkeypatch, name, bucket, token)
    clock.now = moment.timestamp()
    arguments: dict[str, Any] = {
        "Bucket": bucket,
        "Key": key,
        "UploadId": upload_id,
        "PartNumber": number,
    }
    if length is not None:
        arguments["ContentLength"] = length
    with monkeypatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda: moment)
        expected = clients.signing.generate_presigned_url("upload_part", arguments, ExpiresIn=lifetime)
    assert signer.sign(key, upload_id, number, lifetime=lifetime, length=length) == expected


def test_credentials_that_rotate_sign_the_next_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_out = tmp_path / "credentials.json"
    config = tmp_path / "config"
    program = f"import sys; sys.stdout.write(open({str(given_out)!r}).read())"
    script = tmp_path / "process.py"
    script.write_text(program)
    config.write_text(f"[default]\ncredential_process = {sys.executable} {script}\n")
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    def rotate(name: str) -> None:
        document = {
            "Version": 1,
            "AccessKeyId": name,
            "SecretAccessKey": f"secret of {name}",
            "SessionToken": f"token of {name}",
            # So soon that the SDK asks for others each time.
            "Expiration": (datetime.now(UTC) + timedelta(seconds=60)).isoformat(),
        }
        given_out.write_text(json.dumps(document))

    rotate("ASIAFIRST")
    clients = StoreClients(StoreAddress("images", "us-east-1", "http://127.0.0.1:9", path_style=True))
    moment = datetime(2026, 11, 24, 12, tzinfo=UTC)
    clock = Clock()
    clock.now = moment.timestamp()
    signer = PartSigner(clients, clock, Clock())
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: moment)
    for name in ("ASIAFIRST", "ASIASECOND"):
        rotate(name)
        url = signer.sign("k", "u", 1, lifetime=60)
        query = parse_qs(urlsplit(url).query)
        assert query["X-Amz-Credential"] == [f"{name}/20261124/us-east-1/s3/aws4_request"]
        assert query["X-Amz-Security-Token"] == [f"token of {name}"]
        arguments = {"Bucket": "images", "Key": "k", "UploadId": "u", "PartNumber": 1}
        assert url == clients.signing.generate_presigned_url("upload_part", arguments, ExpiresIn=60)


def test_the_sdk_is_asked_for_one_url_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    address = StoreAddress("images", "us-east-1", "http://127.0.0.1:9", credentials=("key", "secret"))
    clients, timer = StoreClients(address), Clock()
    sign, asked = clients.signing.generate_presigned_url, []

    def counted(operation: str, *args: Any, **options: Any) -> str:
        asked.append(operation)
        return sign(operation, *args, **options)

    monkeypatch.setattr(clients.signing, "generate_presigned_url", counted)
    signer = PartSigner(clients, timer=timer)
    for number in range(1, 1001):
        signer.sign("k", "u", number, lifetime=60)
    assert asked == ["upload_part"]
    timer.now += TARGET_SECONDS
    signer.sign("k", "u", 1, lifetime=60)
    assert asked == ["upload_part", "upload_part"]


def test_without_credentials_no_part_is_signed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    store = ObjectStore(StoreClients(StoreAddress("images", "us-east-1", "http://127.0.0.1:9")))
    with pytest.raises(StoreError, match="no credentials"):
        store.sign_part("k", "u", 1, lifetime=60)
