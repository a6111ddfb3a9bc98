"""The IAM policies of the template allow what the code calls, and nothing more."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import LEAST
from tests.support.cloudformation import Stack
from tests.support.s3_operations import named_operations

PACKAGE = Path(__file__).parents[2] / "image_gateway"
BUCKET_INIT = PACKAGE / "storage" / "bucket.py"
# Calls whatever operation its caller names.
PROBE = PACKAGE / "storage" / "probe.py"
# What only commands of operators call.
OPERATORS = [BUCKET_INIT, PROBE, *sorted((PACKAGE / "doctor").rglob("*.py"))]
# What each operation needs: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
ACTIONS = {
    "AbortMultipartUpload": {"s3:AbortMultipartUpload"},
    "CompleteMultipartUpload": {"s3:PutObject"},
    "CopyObject": {"s3:GetObject", "s3:PutObject"},
    "CreateBucket": {"s3:CreateBucket"},
    "CreateMultipartUpload": {"s3:PutObject"},
    "DeleteObject": {"s3:DeleteObject"},
    "DeleteObjects": {"s3:DeleteObject"},
    "GetBucketCors": {"s3:GetBucketCORS"},
    "GetBucketEncryption": {"s3:GetEncryptionConfiguration"},
    "GetBucketLifecycleConfiguration": {"s3:GetLifecycleConfiguration"},
    "GetBucketLocation": {"s3:GetBucketLocation"},
    "GetBucketVersioning": {"s3:GetBucketVersioning"},
    "GetObject": {"s3:GetObject"},
    "HeadBucket": {"s3:ListBucket"},
    "HeadObject": {"s3:GetObject"},
    # They are listed to be deleted.
    "ListObjectVersions": {"s3:DeleteObjectVersion", "s3:ListBucketVersions"},
    "ListMultipartUploads": {"s3:ListBucketMultipartUploads"},
    "ListObjectsV2": {"s3:ListBucket"},
    "ListParts": {"s3:ListMultipartUploadParts"},
    "PutBucketCors": {"s3:PutBucketCORS"},
    "PutBucketLifecycleConfiguration": {"s3:PutLifecycleConfiguration"},
    "PutObject": {"s3:PutObject"},
    "UploadPart": {"s3:PutObject"},
    "UploadPartCopy": {"s3:GetObject", "s3:PutObject"},
}
# Of the bucket; all others are of objects.
BUCKET_ACTIONS = {
    *("s3:CreateBucket", "s3:ListBucket", "s3:ListBucketMultipartUploads"),
    "s3:ListBucketVersions",
    *("s3:GetBucketCORS", "s3:GetEncryptionConfiguration", "s3:GetBucketLocation", "s3:GetBucketVersioning"),
    *("s3:PutBucketCORS", "s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration"),
}
# S3 calls KMS for the caller: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
KMS_ACTIONS = {"kms:Decrypt", "kms:GenerateDataKey"}
KMS_KEY = "arn:aws:kms:eu-central-1:123456789012:key/abc"


def called(source: str, *, computed: bool = False) -> set[str]:
    """The operations that code calls or names; only with `computed` may a name be anything but a string."""
    for node in ast.walk(ast.parse(source)):
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if is_call and node.func.attr in ("get_paginator", "generate_presigned_url"):
            constant = isinstance(node.args[0], ast.Constant)
            assert computed or constant, "the name of an operation is computed"
    return named_operations(source)


def modules_with_the_sdk() -> Iterator[Path]:
    """The modules that may call S3: those of the storage package, and whoever takes its clients."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        if path.parent.name == "storage" or "StoreClients" in text or "boto3" in text:
            yield path


def actions_of(paths: list[Path]) -> set[str]:
    needed: set[str] = set()
    for path in paths:
        for operation in called(path.read_text(), computed=path == PROBE):
            assert operation in ACTIONS, f"{path.name} calls {operation}: say here which right it needs"
            needed |= ACTIONS[operation]
    return needed


def statements(stack: Stack, policy: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.properties(policy)["PolicyDocument"]["Statement"]
    assert {statement["Effect"] for statement in found} == {"Allow"}
    assert not any("*" in action for statement in found for action in statement["Action"])
    return found


def allowed(stack: Stack, policy: str) -> dict[str, str]:
    """The resource of each action of a policy."""
    return {action: each["Resource"] for each in statements(stack, policy) for action in each["Action"]}


def test_the_gateway_may_do_what_it_does_and_nothing_more(stack: Stack) -> None:
    modules = [path for path in modules_with_the_sdk() if path not in OPERATORS]
    assert set(allowed(stack, "GatewayPolicy")) == actions_of(modules)


def test_operators_may_do_the_rest_of_what_their_commands_do_and_nothing_more(stack: Stack) -> None:
    """The policy is an addition to that of the gateway."""
    needed, given = actions_of(OPERATORS), set(allowed(stack, "OperatorPolicy"))
    assert needed - set(allowed(stack, "GatewayPolicy")) - given == set()
    assert given - needed == set()


def test_rights_end_at_the_images_of_this_bucket(stack: Stack) -> None:
    for policy in ("GatewayPolicy", "OperatorPolicy"):
        for action, resource in allowed(stack, policy).items():
            if action in BUCKET_ACTIONS:
                assert resource == "ref:Bucket.Arn"
            else:
                assert resource.startswith(("ref:Bucket.Arn/images/", "ref:Bucket.Arn/image-gateway-probe-"))
    probes = allowed(stack, "OperatorPolicy")["s3:PutObject"]
    assert fnmatchcase("ref:Bucket.Arn/image-gateway-probe-ab12", probes)


def test_the_key_is_used_only_if_there_is_one(template: dict[str, Any], stack: Stack) -> None:
    encrypted = allowed(Stack(template, {**LEAST, "KmsKeyArn": KMS_KEY}), "GatewayPolicy")
    assert encrypted.keys() - allowed(stack, "GatewayPolicy").keys() == KMS_ACTIONS
    assert {encrypted[action] for action in KMS_ACTIONS} == {KMS_KEY}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("client.put_object(Bucket='b')", {"PutObject"}),
        ("self._client.get_paginator('list_parts').paginate()", {"ListParts"}),
        ("clients.signing.generate_presigned_url('upload_part', a)", {"UploadPart"}),
        ("client.put_bucket_policy(Bucket='b')", {"PutBucketPolicy"}),
        ("self.probe.call('get_bucket_versioning')", {"GetBucketVersioning"}),
        ("store.sign_part()", set()),
    ],
)
def test_a_new_call_is_found(source: str, expected: set[str]) -> None:
    assert called(source) == expected
