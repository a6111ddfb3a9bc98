"""Which S3 operation a request is (API reference: Actions, Amazon S3)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

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
