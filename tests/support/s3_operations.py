"""Which S3 operation a request is, and which ones code names (API reference: Actions, Amazon S3)."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from urllib.parse import parse_qs, urlsplit

import botocore.session
from botocore import xform_name

# Method, whether it names an object, and a parameter of its query → operation; the first that fits.
_OPERATIONS = (
    ("HEAD", False, None, "HeadBucket"),
    ("HEAD", True, None, "HeadObject"),
    ("GET", False, "list-type", "ListObjectsV2"),
    ("GET", False, "uploads", "ListMultipartUploads"),
    ("GET", False, "lifecycle", "GetBucketLifecycleConfiguration"),
    ("GET", True, "uploadId", "ListParts"),
    ("GET", True, None, "GetObject"),
    ("POST", True, "uploads", "CreateMultipartUpload"),
    ("POST", True, "uploadId", "CompleteMultipartUpload"),
    ("POST", False, "delete", "DeleteObjects"),
    ("DELETE", True, "uploadId", "AbortMultipartUpload"),
    ("DELETE", True, None, "DeleteObject"),
    ("PUT", True, "uploadId", "UploadPart"),
    ("PUT", True, None, "PutObject"),
)
_COPIES = {"UploadPart": "UploadPartCopy", "PutObject": "CopyObject"}


def operation_of(method: str, target: str, headers: Mapping[str, str]) -> str:
    """Return the operation of a path-style request; header names are in lower case."""
    parts = urlsplit(target)
    names_object = "/" in parts.path.strip("/")
    query = parse_qs(parts.query, keep_blank_values=True)
    for of_method, of_object, parameter, operation in _OPERATIONS:
        if (of_method, of_object) == (method, names_object) and (parameter is None or parameter in query):
            return _COPIES.get(operation, operation) if "x-amz-copy-source" in headers else operation
    return f"{method} {parts.path}"


@cache
def operations_by_method() -> dict[str, str]:
    """The operations of S3 by the names of the SDK's methods, from the SDK's own model."""
    model = botocore.session.get_session().get_service_model("s3")
    return {xform_name(name): name for name in model.operation_names}


def named_operations(source: str) -> set[str]:
    """The operations that code names as a method, or in a string, as for paginators and presigning."""
    operations, found = operations_by_method(), set()
    for node in ast.walk(ast.parse(source)):
        # What an object calls on itself is no call of the SDK's client.
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) != "self":
            found.add(operations.get(node.attr))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(operations.get(node.value))
    return {operation for operation in found if operation}
