"""A store, or a proxy before it, that answers reads in a wrong way."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import pytest

from image_gateway.doctor.store import check_store_target
from image_gateway.doctor.store_reads import ReadChecks
from image_gateway.doctor.store_rights import ProbeObject
from image_gateway.storage.client import StoreClients
from tests.doctor.conftest import Doctor, codes
from tests.support.aws_shape import AwsShape
from tests.support.s3_operations import operation_of

DATA = b"0123456789" * 100


@pytest.fixture
def probed(clients: StoreClients) -> ProbeObject:
    answer = clients.requests.put_object(Bucket="images", Key="images/probe", Body=DATA)
    return ProbeObject("images/probe", len(DATA), answer["ETag"], DATA)


def read_codes(doctor: Doctor, probed: ProbeObject) -> set[str]:
    return codes(ReadChecks(doctor.target(), probed, probed).run())


def test_a_good_store_reads_well(doctor: Doctor, probed: ProbeObject) -> None:
    assert read_codes(doctor, probed) == set()


@pytest.mark.parametrize(
    ("dropped", "expected"),
    [
        ({"range"}, {"store-range", "store-suffix-range", "store-range-beyond"}),
        ({"if-match"}, {"store-condition-ignored"}),
        ({"if-unmodified-since"}, {"store-condition-ignored"}),
    ],
    ids=["ranges", "If-Match", "If-Unmodified-Since"],
)
def test_headers_that_the_store_ignores_are_told(
    doctor: Doctor, shape: AwsShape, probed: ProbeObject, dropped: set[str], expected: set[str]
) -> None:
    shape.edit_request = lambda headers: {name: headers[name] for name in headers if name not in dropped}
    assert read_codes(doctor, probed) == expected


def test_a_store_without_suffix_ranges_is_told(doctor: Doctor, shape: AwsShape, probed: ProbeObject) -> None:
    def edit(headers: dict[str, str]) -> dict[str, str]:
        is_suffix = headers.get("range", "").startswith("bytes=-")
        return {name: headers[name] for name in headers if not (is_suffix and name == "range")}

    shape.edit_request = edit
    assert read_codes(doctor, probed) == {"store-suffix-range"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"etag": None}, {"store-header-missing"}),
        ({"last-modified": None}, {"store-header-missing"}),
        ({"etag": '"another"'}, {"store-etag-unstable", "store-if-match-refused"}),
        ({"content-encoding": "gzip"}, {"store-transformed"}),
        ({"content-range": "bytes 0-0/1"}, {"store-range", "store-suffix-range"}),
    ],
    ids=["no ETag", "no Last-Modified", "another ETag", "gzip", "wrong Content-Range"],
)
def test_headers_that_a_proxy_changes_are_told(
    doctor: Doctor,
    shape: AwsShape,
    probed: ProbeObject,
    changes: Mapping[str, str | None],
    expected: set[str],
) -> None:
    def edit(method: str, target: str, headers: dict[str, str]) -> dict[str, str]:
        if operation_of(method, target, {}) not in ("GetObject", "HeadObject"):
            return headers
        edited = {**headers, **{name: changes[name] for name in changes if name != "content-range"}}
        if "content-range" in headers and "content-range" in changes:
            edited["content-range"] = changes["content-range"]
        return {name: value for name, value in edited.items() if value is not None}

    shape.edit_answer = edit
    assert read_codes(doctor, probed) == expected


def test_a_signature_that_a_proxy_repeats_is_not_shown(
    doctor: Doctor, shape: AwsShape, probed: ProbeObject
) -> None:
    signatures = []

    def edit(_: str, target: str, headers: dict[str, str]) -> dict[str, str]:
        signature = parse_qs(urlsplit(target).query).get("X-Amz-Signature")
        signatures.extend(signature or [])
        return {**headers, **dict.fromkeys(("content-range", "etag"), signature[0])} if signature else headers

    shape.edit_answer = edit
    shown = repr(list(ReadChecks(doctor.target(), probed, probed).run()))
    assert "store-range" in shown
    assert signatures
    assert [signature for signature in signatures if signature[:20] in shown] == []


def test_a_proxy_that_compresses_for_browsers_only_is_a_warning(
    doctor: Doctor, shape: AwsShape, probed: ProbeObject
) -> None:
    accepting = []

    def note(headers: dict[str, str]) -> dict[str, str]:
        accepting[:] = [headers.get("accept-encoding", "")]
        return headers

    def compress(_method: str, _target: str, headers: dict[str, str]) -> dict[str, str]:
        return {**headers, "content-encoding": "br"} if "br" in accepting[0] else headers

    shape.edit_request, shape.edit_answer = note, compress
    checks = list(ReadChecks(doctor.target(), probed, probed).run())
    assert codes(checks) == {"store-transformed"}
    assert [finding.severity for check in checks for finding in check.findings] == ["warning"]


def test_without_writing_an_object_of_the_bucket_is_read(
    doctor: Doctor, shape: AwsShape, probed: ProbeObject, clients: StoreClients
) -> None:
    checks = list(check_store_target(doctor.target(), read_only=True))
    assert codes(checks) == set()
    assert [check.skipped for check in checks if check.name in ("ranges", "an anonymous read")] == [None] * 2
    assert {call.partition(" ")[0] for call in shape.calls} <= {"GET", "HEAD", "OPTIONS"}
    assert len(clients.requests.list_objects_v2(Bucket="images")["Contents"]) == 1
