"""Rights: each call that the gateway makes is tried, and a denied one is named with its IAM action."""

from __future__ import annotations

from pathlib import Path

import pytest

import image_gateway.storage
from image_gateway.doctor.store import check_store_target
from image_gateway.doctor.store_rights import CALLS, StoreCall, Trial
from image_gateway.storage.client import StoreClients
from tests.doctor.conftest import Doctor, codes, findings
from tests.support.aws_shape import AwsShape, Canned
from tests.support.s3_operations import named_operations, operation_of

# These set up and examine a bucket; the gateway itself does not use them.
NOT_THE_GATEWAY = {"bucket.py", "probe.py", "cors.py"}


# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
ACTIONS = {
    "s3:AbortMultipartUpload": {"AbortMultipartUpload"},
    "s3:DeleteObject": {"DeleteObject", "DeleteObjects"},
    "s3:GetObject": {"GetObject", "HeadObject"},
    "s3:ListBucket": {"HeadBucket", "ListObjectsV2"},
    "s3:ListBucketMultipartUploads": {"ListMultipartUploads"},
    "s3:ListMultipartUploadParts": {"ListParts"},
    "s3:PutObject": {
        *("PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy"),
        "CompleteMultipartUpload",
    },
}


def deny(shape: AwsShape, denied: str, canned: Canned | None = None) -> None:
    refusal = canned or Canned(403, "AccessDenied")
    shape.script = lambda *request: refusal if operation_of(*request) == denied else None


def test_the_calls_are_those_of_the_gateway() -> None:
    modules = Path(image_gateway.storage.__path__[0]).glob("*.py")
    used = [named_operations(path.read_text()) for path in modules if path.name not in NOT_THE_GATEWAY]
    assert set().union(*used) == {call.operation for call in CALLS}


def test_each_call_has_the_action_that_aws_documents() -> None:
    assert {(call.operation, call.action) for call in CALLS} == {
        (operation, action) for action, operations in ACTIONS.items() for operation in operations
    }


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.operation)
def test_a_denied_call_is_named_with_its_action(doctor: Doctor, shape: AwsShape, call: StoreCall) -> None:
    deny(shape, call.operation)
    checks = list(Trial(doctor.target()).run())
    first, *others = [check for check in checks if check.findings]
    (found,) = first.findings
    assert (first.name, found.code) == (f"the call {call.operation}", "store-denied")
    assert found.what.startswith(f"{call.operation} was refused (403")
    assert call.action in found.remedy
    assert call.used_by in found.why
    assert others == []
    tried = {check.name for check in checks if check.skipped is None}
    assert tried.isdisjoint(f"the call {other.operation}" for other in CALLS if call.operation in other.needs)


def test_the_action_that_aws_names_is_told(doctor: Doctor, shape: AwsShape) -> None:
    message = b"User: x is not authorized to perform: kms:GenerateDataKey on resource: y"
    body = b"<Error><Code>AccessDenied</Code><Message>%s</Message></Error>" % message
    deny(shape, "PutObject", Canned(403, body=body))
    (found,) = findings(Trial(doctor.target()).run())
    assert "allow kms:GenerateDataKey in the IAM policy of the gateway, on the KMS key" in found.remedy


@pytest.mark.parametrize(
    ("canned", "code"),
    [(Canned(501, "NotImplemented"), "store-call-failed"), (Canned(503, "SlowDown"), "store-busy")],
    ids=["not implemented", "slow down"],
)
def test_a_call_that_fails_otherwise_is_told(
    doctor: Doctor, shape: AwsShape, canned: Canned, code: str
) -> None:
    deny(shape, "UploadPartCopy", canned)
    (found,) = findings(Trial(doctor.target()).run())
    assert found.code == code
    assert "UploadPartCopy" in found.what


def test_what_may_not_be_deleted_is_told_as_left_behind(
    doctor: Doctor, shape: AwsShape, clients: StoreClients
) -> None:
    deny(shape, "DeleteObject")
    checks = list(check_store_target(doctor.target()))
    assert codes(checks) == {"store-denied", "store-leftovers"}
    (left,) = checks[-1].findings
    listed = clients.requests.list_objects_v2(Bucket="images")["Contents"]
    assert {item["Key"] for item in listed} <= set(left.what.partition(": ")[2].split(", "))


def test_an_upload_that_was_created_without_an_answer_is_aborted(
    doctor: Doctor, shape: AwsShape, clients: StoreClients
) -> None:
    shape.loses = lambda method, target: operation_of(method, target, {}) == "CreateMultipartUpload"
    found = codes(check_store_target(doctor.target()))
    assert "store-connection" in found
    assert "store-leftovers" not in found
    assert "Uploads" not in clients.requests.list_multipart_uploads(Bucket="images")


def test_without_any_right_nothing_is_tried_in_vain(doctor: Doctor, shape: AwsShape) -> None:
    shape.script = lambda *_: Canned(403, "AccessDenied")
    checks = doctor.examine()
    assert codes(checks) == {"store-denied", "store-cors"}
    assert [check.name for check in checks if check.skipped == "there is no object to read"] == [
        "reads",
        "an anonymous read",
    ]
