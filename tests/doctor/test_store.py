"""The store as a whole: healthy ones, wrong CORS, open and misconfigured buckets, and what is left behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from image_gateway.doctor.bucket import check_bucket, check_encryption
from image_gateway.doctor.store import check_store_target
from image_gateway.doctor.store_target import make_target, run_check
from image_gateway.doctor.store_uploads import check_uploads
from image_gateway.domain.findings import Severity
from image_gateway.local.ports import find_free_ports
from image_gateway.storage.client import StoreClients
from image_gateway.storage.probe import StoreProbe
from tests.doctor.conftest import MOTO_LACKS, Doctor, codes, findings
from tests.support.aws_shape import AwsShape, Canned
from tests.support.s3_operations import operation_of


def is_empty(clients: StoreClients) -> bool:
    versions = clients.requests.list_object_versions(Bucket="images")
    uploads = clients.requests.list_multipart_uploads(Bucket="images")
    return not {"Versions", "DeleteMarkers"} & versions.keys() and "Uploads" not in uploads


def test_of_moto_only_what_it_lacks_is_told(doctor: Doctor, clients: StoreClients) -> None:
    checks = doctor.examine()
    assert {finding.code for finding in findings(checks)} == MOTO_LACKS
    assert [check.name for check in checks if check.skipped] == ["encryption at rest"]
    assert is_empty(clients)


def test_a_store_that_is_busy_for_moments_is_fine(doctor: Doctor, shape: AwsShape) -> None:
    shape.slow_down_every = 5
    assert codes(doctor.examine()) == set()
    assert shape.slowed > 5


def test_checks_that_are_given_up_leave_nothing(doctor: Doctor, clients: StoreClients) -> None:
    running = check_store_target(doctor.target())
    for check in running:
        if check.name == "the call ListParts":
            break
    assert not is_empty(clients)
    running.close()  # type: ignore[attr-defined]
    assert is_empty(clients)


@pytest.mark.parametrize(
    ("origins", "hidden", "expected"),
    [
        (("https://app.example.com",), (), set()),
        (("https://app.example.com", "https://other.example.com"), (), {"store-cors"}),
        (("https://app.example.com",), ("access-control-expose-headers",), {"store-cors-exposed"}),
    ],
    ids=["right", "an origin is missing", "nothing exposed"],
)
def test_the_preflight_of_each_origin_is_tried(
    doctor: Doctor,
    shape: AwsShape,
    origins: tuple[str, ...],
    hidden: tuple[str, ...],
    expected: set[str],
) -> None:
    def allow_one(method: str, target: str, headers: dict[str, str]) -> dict[str, str]:
        others = {name: headers[name] for name in headers if name not in hidden}
        return {**others, "access-control-allow-origin": "https://app.example.com"}

    shape.edit_answer = allow_one
    assert codes(check_uploads(replace(doctor.target(), origins=origins))) == expected


def test_a_public_endpoint_that_cannot_be_reached_is_a_warning(doctor: Doctor) -> None:
    (port,) = find_free_ports(1)
    checks = list(check_uploads(doctor.target(public_endpoint=f"http://127.0.0.1:{port}")))
    (found,) = findings(checks)
    assert (found.code, found.severity) == ("store-public-endpoint", Severity.WARNING)
    assert [check.skipped for check in checks[1:]] == ["the public endpoint cannot be used"] * 4


def test_a_public_endpoint_of_another_store_is_told(doctor: Doctor, shape: AwsShape) -> None:
    shape.script = lambda *_: Canned(403, "InvalidAccessKeyId")
    public = doctor.probe.address.endpoint
    assert codes(check_uploads(doctor.target(public_endpoint=public))) == {"store-public-endpoint-differs"}


RULE = {"ID": "rule", "Status": "Enabled", "Filter": {"Prefix": ""}}
ABORT = {**RULE, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 30}}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], {"store-no-abort-rule"}),
        ([{**ABORT, "Status": "Disabled"}], {"store-no-abort-rule"}),
        ([{**ABORT, "Filter": {"Prefix": "logs/"}}], {"store-no-abort-rule"}),
        (
            [{**ABORT, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2}}],
            {"store-abort-rule-short"},
        ),
        ([{**ABORT, "Expiration": {"Days": 90}}], {"store-expires-images"}),
        ([{**ABORT, "Transitions": [{"Days": 9, "StorageClass": "GLACIER"}]}], {"store-archives-images"}),
        ([{**ABORT, "Transitions": [{"Days": 9, "StorageClass": "STANDARD_IA"}]}], set()),
        ([ABORT, {**RULE, "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 9}}], set()),
    ],
    ids=["none", "disabled", "elsewhere", "too soon", "expires", "archives", "other class", "others' logs"],
)
def test_lifecycle_rules_are_understood(
    doctor: Doctor, clients: StoreClients, rules: list[Mapping[str, Any]], expected: set[str]
) -> None:
    if rules:
        clients.requests.put_bucket_lifecycle_configuration(
            Bucket="images",
            LifecycleConfiguration={"Rules": rules},  # type: ignore[typeddict-item]
        )
    else:
        clients.requests.delete_bucket_lifecycle(Bucket="images")
    assert codes(check_bucket(doctor.target(), probed=None, written=None)) == expected


@pytest.mark.parametrize("canned", [Canned(403, "AccessDenied"), Canned(501, "NotImplemented")])
def test_rules_that_cannot_be_read_are_no_finding(doctor: Doctor, shape: AwsShape, canned: Canned) -> None:
    denied = "GetBucketLifecycleConfiguration"
    shape.script = lambda *request: canned if operation_of(*request) == denied else None
    checks = list(check_bucket(doctor.target(), probed=None, written=None))
    assert codes(checks) == set()
    assert [check.name for check in checks if check.skipped and "lifecycle" in check.name] == [
        "lifecycle rules"
    ]


def test_versions_are_a_warning_and_leave_none_behind(doctor: Doctor, clients: StoreClients) -> None:
    clients.requests.put_bucket_versioning(Bucket="images", VersioningConfiguration={"Status": "Enabled"})
    assert codes(check_store_target(doctor.target())) == {"store-versioning"}
    assert is_empty(clients)
    written = doctor.target().scratch.put("probe", b"probe")
    assert "store-versioning" in codes(check_bucket(doctor.target(), probed=None, written=written))
    rule = {**ABORT, "NoncurrentVersionExpiration": {"NoncurrentDays": 7}}
    clients.requests.put_bucket_lifecycle_configuration(
        Bucket="images",
        LifecycleConfiguration={"Rules": [rule]},  # type: ignore[list-item]
    )
    assert codes(check_bucket(doctor.target(), probed=None, written=written)) == set()


def test_uploads_that_nobody_completed_are_counted(doctor: Doctor, clients: StoreClients) -> None:
    # moto dates every upload in 2010.
    for name in ("a", "b"):
        clients.requests.create_multipart_upload(Bucket="images", Key=f"images/{name}")
    checks = list(check_bucket(doctor.target(), probed=None, written=None))
    assert codes(checks) == {"store-old-uploads"}
    assert "2 multipart uploads" in next(f.what for f in findings(checks) if f.code == "store-old-uploads")


def test_an_object_that_anyone_can_read_is_told(doctor: Doctor, shape: AwsShape) -> None:
    def open_reads(method: str, target: str, headers: Mapping[str, str]) -> Canned | None:
        is_anonymous = "authorization" not in headers and "X-Amz-Signature" not in target
        is_read = operation_of(method, target, headers) == "GetObject"
        return Canned(206, body=b"x", chunked=False) if is_anonymous and is_read else None

    shape.script = open_reads
    checks = list(check_store_target(doctor.target()))
    assert codes(checks) == {"store-public-read"}


def test_aws_without_encryption_is_a_warning(doctor: Doctor) -> None:
    written = doctor.target().scratch.put("probe", b"probe")
    on_aws = make_target(
        StoreProbe(replace(doctor.probe.address, endpoint=None)),
        base_path="/images",
        origins=("*",),
        upload_max_seconds=1,
    )
    found = run_check(on_aws, "encryption", partial(check_encryption, written=written))
    assert [finding.code for finding in found.findings] == ["store-not-encrypted"]
