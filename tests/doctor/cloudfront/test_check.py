"""`image-gateway cloudfront check` against a distribution as it should be, and with each fault."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from image_gateway.catalog.repository import Catalog
from image_gateway.doctor.cloudfront import check_cloudfront
from image_gateway.doctor.cloudfront_targets import PROBE_FOLDER
from image_gateway.doctor.http_probe import Probed
from image_gateway.domain.findings import Check
from image_gateway.errors import StoreError
from image_gateway.local.ports import find_free_ports
from image_gateway.settings import load_settings
from image_gateway.storage.objects import ObjectStore
from tests.doctor.cloudfront.conftest import Distribution, Make
from tests.support.documents import ROOT
from tests.support.fake_cloudfront import FakeCloudFront
from tests.support.records import DISK, FREE, NOW, make_record


def codes(checks: list[Check]) -> list[str]:
    return [finding.code for check in checks for finding in check.findings]


def skipped(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if check.skipped]


def check(
    fake: FakeCloudFront, make_settings: Make, public: str | None = "/public", **more: str
) -> list[Check]:
    return list(check_cloudfront(make_settings(**more), public_path=public, send=fake.send))


def probes_left(store: ObjectStore) -> list[str]:
    return [found.key for found in store.list_objects("")]


@pytest.mark.parametrize("mode", ["cookie", "url"])
def test_nothing_is_wrong_with_a_distribution_of_the_template(
    mode: str, distribution: Distribution, make_settings: Make, store: ObjectStore
) -> None:
    origins = ("https://app.example.com",) if mode == "cookie" else ("*",)
    fake = distribution(origins=origins)
    checks = check(fake, make_settings, CLOUDFRONT_AUTH_MODE=mode, CORS_ALLOW_ORIGIN=origins[0])
    assert codes(checks) == []
    assert skipped(checks) == []
    assert len(checks) == 13
    assert len({check.name for check in checks}) == len(checks)
    assert all(PROBE_FOLDER in path or path.endswith("image-gateway-probe") for path in fake.asked)
    assert probes_left(store) == []


FAULTS = {
    "open": ["cloudfront-open"],
    "cookies are ignored": ["cloudfront-cookies-refused"],
    "any signature": ["cloudfront-signature-scope", "cloudfront-expired-accepted"],
    "expiry is ignored": ["cloudfront-expired-accepted"],
    "range is dropped": ["cloudfront-range"],
    "range is short": ["cloudfront-range"],
    "compresses": ["cloudfront-compressed"],
    "preflights need a signature": ["cloudfront-preflight"],
    "no CORS": ["cloudfront-cors-origin", "cloudfront-cors-credentials", "cloudfront-cors-exposed"],
    "exposes little": ["cloudfront-cors-exposed"],
    "no security headers": ["cloudfront-corp", "cloudfront-nosniff"],
    "no cache": ["cloudfront-cache"],
    "no public path": ["cloudfront-public-refused"],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_and_no_other(
    fault: str, distribution: Distribution, make_settings: Make, store: ObjectStore
) -> None:
    checks = check(distribution(fault=fault), make_settings)
    assert codes(checks) == FAULTS[fault]
    assert skipped(checks) == []
    assert probes_left(store) == []


@pytest.mark.parametrize(
    ("fault", "mode", "found"),
    [
        ("preflights need a signature", "cookie", ["warning cloudfront-preflight"]),
        ("preflights need a signature", "url", []),
        ("no preflights", "url", ["broken cloudfront-preflight"]),
    ],
)
def test_a_preflight_without_cookies_may_be_refused(
    fault: str,
    mode: str,
    found: list[str],
    distribution: Distribution,
    make_settings: Make,
    store: ObjectStore,
) -> None:
    """A preflight has the signature of a signed URL, and never that of cookies."""
    checks = check(distribution(fault=fault), make_settings, CLOUDFRONT_AUTH_MODE=mode)
    findings = [finding for each in checks for finding in each.findings]
    assert [f"{finding.severity} {finding.code}" for finding in findings] == found
    assert probes_left(store) == []


def test_no_finding_holds_a_signature(
    distribution: Distribution, make_settings: Make, store: ObjectStore
) -> None:
    shown = "".join(map(str, check(distribution(fault="no CORS", keys=[]), make_settings)))
    assert re.search(r"Signature|Policy=|[A-Za-z0-9~_-]{60}", shown) is None


def test_a_signature_that_the_server_repeats_is_not_shown(
    distribution: Distribution, make_settings: Make, store: ObjectStore
) -> None:
    fake = distribution()

    def repeating(method: str, url: str, headers: Mapping[str, str]) -> Probed:
        signature = parse_qs(urlsplit(url).query).get("Signature", ["none"])[0]
        names = ("Content-Range", "X-Cache", "Content-Encoding", "Cross-Origin-Resource-Policy")
        answer = fake.send(method, url, headers)
        return replace(answer, headers={**answer.headers, **dict.fromkeys(names, signature)})

    checks = list(check_cloudfront(make_settings(CLOUDFRONT_AUTH_MODE="url"), send=repeating))
    assert "cloudfront-range" in codes(checks)
    assert re.search(r"[A-Za-z0-9~_-]{35}", str(checks)) is None


def test_a_key_that_the_distribution_does_not_know_stops_the_rest(
    distribution: Distribution, make_settings: Make, store: ObjectStore
) -> None:
    checks = check(distribution(keys=[]), make_settings)
    assert codes(checks) == ["cloudfront-signed-refused"]
    assert "403 AccessDenied" in checks[2].findings[0].what
    assert len(skipped(checks)) == 8
    assert probes_left(store) == []


def test_a_distribution_that_does_not_answer_is_one_finding(make_settings: Make) -> None:
    [port] = find_free_ports(1)
    fake = FakeCloudFront(lambda _: None, [], lambda: 0.0, port=port)
    checks = check(fake, make_settings)
    assert codes(checks) == ["cloudfront-unreachable"]
    assert "Connection refused" in checks[-1].findings[0].what
    assert len(checks) == 1


def test_images_of_the_catalog_are_read_and_nothing_is_written(
    distribution: Distribution, make_settings: Make, store: ObjectStore, catalog: Catalog
) -> None:
    disk = replace(DISK, size=70_000)
    for number in (1, 2):
        image_id = f"00000000-0000-4000-8000-00000000000{number}"
        record = make_record(image_id)
        catalog.add(record, FREE)
        catalog.complete(image_id, "u1", disk, NOW)
        store.put(record.location.disk_key, bytes(70_000), content_type="x/y", cache_control="no-store")
    fake = distribution()
    checks = check(fake, make_settings, public=None)
    assert codes(checks) == []
    assert skipped(checks) == ["the second read comes from the cache", "the public path needs no signature"]
    assert not any(f"{PROBE_FOLDER}/" in path for path in fake.asked)
    assert "image 00000000-0000-4000-8000-000000000001" in checks[2].detail


def test_without_an_object_to_read_the_reason_is_said(
    distribution: Distribution, make_settings: Make, store: ObjectStore
) -> None:
    store._client.delete_bucket(Bucket="images")
    assert codes(check(distribution(), make_settings)) == ["cloudfront-no-object"]


def test_a_probe_object_that_stays_is_named(
    distribution: Distribution, make_settings: Make, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(key: str) -> None:
        raise StoreError("denied")

    monkeypatch.setattr(store, "delete", refuse)
    checks = check(distribution(), make_settings)
    assert codes(checks) == ["cloudfront-probe-left"]
    assert all(key in checks[-1].findings[0].what for key in probes_left(store))


def test_settings_without_a_distribution_are_one_skipped_check() -> None:
    settings = load_settings({"S3_BUCKET": "images", "AWS_REGION": "us-east-1"})
    [only] = check_cloudfront(settings)
    assert only.skipped == "CLOUDFRONT_DOMAIN is not set"


def test_a_fault_for_each_finding_of_the_check() -> None:
    code = "".join(path.read_text() for path in (ROOT / "image_gateway/doctor").glob("cloudfront*.py"))
    made = set(re.findall(r'"(cloudfront-[a-z-]+)"', code))
    assert {found for expected in FAULTS.values() for found in expected} < made
