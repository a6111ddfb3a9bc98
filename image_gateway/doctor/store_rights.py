"""Tries each call that the gateway makes to the store, and says which IAM actions are missing."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial

from image_gateway.doctor.store_failures import busy_finding
from image_gateway.doctor.store_target import Findings, Skip, StoreTarget, run_check, skipped
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.protocol.parts import MIN_PART_SIZE
from image_gateway.storage.probe import Answer

_UPLOADS, _JOBS, _SWEEPER = "uploads", "jobs of the worker", "the sweeper and deletions"


@dataclass(frozen=True)
class StoreCall:
    """An S3 operation that the gateway uses.

    Attributes:
        operation: Its name in the S3 API.
        action: The IAM action that allows it (AWS: Service Authorization Reference, Amazon S3).
        used_by: What fails without it.
        writes: Whether trying it changes the bucket.
        needs: The operations that must have succeeded before it can be tried.
    """

    operation: str
    action: str
    used_by: str
    writes: bool = True
    needs: tuple[str, ...] = ()


# In the order in which they are tried: each makes what the next ones use.
CALLS = (
    StoreCall("HeadBucket", "s3:ListBucket", "/readyz", writes=False),
    StoreCall("ListObjectsV2", "s3:ListBucket", f"{_SWEEPER}, publishing", writes=False),
    StoreCall("ListMultipartUploads", "s3:ListBucketMultipartUploads", _SWEEPER, writes=False),
    StoreCall("PutObject", "s3:PutObject", "publishing, zero maps"),
    StoreCall("HeadObject", "s3:GetObject", f"reads, {_UPLOADS}", needs=("PutObject",)),
    StoreCall("GetObject", "s3:GetObject", f"reads, {_JOBS}", needs=("PutObject",)),
    StoreCall("CopyObject", "s3:PutObject", "publishing", needs=("PutObject",)),
    StoreCall("CreateMultipartUpload", "s3:PutObject", f"{_UPLOADS}, {_JOBS}"),
    StoreCall("UploadPart", "s3:PutObject", f"{_UPLOADS}, {_JOBS}", needs=("CreateMultipartUpload",)),
    StoreCall("UploadPartCopy", "s3:PutObject", _JOBS, needs=("CreateMultipartUpload", "PutObject")),
    StoreCall("ListParts", "s3:ListMultipartUploadParts", _UPLOADS, needs=("CreateMultipartUpload",)),
    StoreCall("CompleteMultipartUpload", "s3:PutObject", _UPLOADS, needs=("UploadPart", "UploadPartCopy")),
    StoreCall("AbortMultipartUpload", "s3:AbortMultipartUpload", _SWEEPER, needs=("CreateMultipartUpload",)),
    StoreCall("DeleteObject", "s3:DeleteObject", _SWEEPER),
    StoreCall("DeleteObjects", "s3:DeleteObject", _SWEEPER),
)


@dataclass(frozen=True)
class ProbeObject:
    """An object to read, with its bytes if they are known."""

    key: str
    size: int
    etag: str
    data: bytes | None = field(default=None, repr=False)


@dataclass
class Trial:
    """Tries the calls in turn; `small` and `joined` are objects that it leaves for other checks."""

    target: StoreTarget
    succeeded: set[str] = field(default_factory=set)
    small: ProbeObject | None = None
    joined: ProbeObject | None = None
    written: Answer | None = None
    _upload: tuple[str, str] = ("", "")
    _parts: list[dict[str, object]] = field(default_factory=list)

    def run(self, *, read_only: bool = False) -> Iterator[Check]:
        """Yield the check of each call; those that write are left out if `read_only`."""
        for call in CALLS:
            name = f"the call {call.operation}"
            missing = [need for need in call.needs if need not in self.succeeded]
            if read_only and (call.writes or call.needs):
                yield skipped(name, "--read-only")
            elif missing:
                yield skipped(name, f"{missing[0]} failed")
            else:
                yield run_check(self.target, name, partial(self._try, call))

    def _try(self, call: StoreCall, target: StoreTarget) -> Findings:
        attempts: dict[str, Callable[[], Answer]] = {
            "HeadBucket": lambda: target.probe.call("head_bucket"),
            "ListObjectsV2": lambda: target.probe.call("list_objects_v2", Prefix=target.base, MaxKeys=1),
            "ListMultipartUploads": lambda: target.probe.call(
                "list_multipart_uploads", Prefix=target.base, MaxUploads=1
            ),
            "PutObject": self._put,
            "HeadObject": lambda: target.probe.call("head_object", Key=self._small.key),
            "GetObject": lambda: target.probe.call("get_object", Key=self._small.key),
            "CopyObject": self._copy,
            "CreateMultipartUpload": self._create,
            "UploadPart": self._upload_part,
            "UploadPartCopy": self._copy_part,
            "ListParts": lambda: target.probe.call("list_parts", **self._named_upload),
            "CompleteMultipartUpload": self._complete,
            "AbortMultipartUpload": self._abort,
            "DeleteObject": lambda: target.probe.call("delete_object", Key=target.scratch.prefix + "none"),
            "DeleteObjects": self._delete_many,
        }
        answer = attempts[call.operation]()
        if answer.ok:
            self.succeeded.add(call.operation)
            return call.action
        yield _refused(call, answer, target)
        return ""

    @property
    def _small(self) -> ProbeObject:
        if self.small is None:
            raise Skip("PutObject failed")
        return self.small

    @property
    def _named_upload(self) -> dict[str, object]:
        return {"Key": self._upload[0], "UploadId": self._upload[1]}

    def _put(self) -> Answer:
        # Compressible, and of a type that proxies compress, as manifests are.
        data = b'{"probe": "image-gateway doctor"}\n' * 128
        answer = self.target.scratch.put("probe.json", data, "application/json")
        if answer.ok:
            self.written = answer
            key = f"{self.target.scratch.prefix}probe.json"
            self.small = ProbeObject(key, len(data), answer.fields.get("ETag", ""), data)
        return answer

    def _copy(self) -> Answer:
        tied = {"CopySourceIfMatch": self._small.etag} if self._small.etag else {}
        key = self.target.scratch.key("copy")
        answer = self.target.probe.call(
            "copy_object",
            Key=key,
            CopySource={"Bucket": self.target.bucket, "Key": self._small.key},
            **tied,
            MetadataDirective="REPLACE",
            ContentType="application/octet-stream",
        )
        return self.target.scratch.settle(key, answer)

    def _create(self) -> Answer:
        answer = self.target.scratch.create_upload("disk.img")
        if answer.ok:
            self._upload = f"{self.target.scratch.prefix}disk.img", answer.fields["UploadId"]
        return answer

    def _upload_part(self) -> Answer:
        data = first_part()
        digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        answer = self.target.probe.call(
            "upload_part", **self._named_upload, PartNumber=1, Body=data, ContentMD5=digest
        )
        if answer.ok:
            self._parts.append({"PartNumber": 1, "ETag": answer.fields.get("ETag", "")})
        return answer

    def _copy_part(self) -> Answer:
        small = self._small
        answer = self.target.probe.call(
            "upload_part_copy",
            **self._named_upload,
            PartNumber=2,
            CopySource={"Bucket": self.target.bucket, "Key": small.key},
            CopySourceRange=f"bytes=0-{small.size - 1}",
        )
        if answer.ok:
            etag = answer.fields.get("CopyPartResult", {}).get("ETag", "")
            self._parts.append({"PartNumber": 2, "ETag": etag})
        return answer

    def _complete(self) -> Answer:
        key = self.target.scratch.key("disk.img")
        answer = self.target.probe.call(
            "complete_multipart_upload", **self._named_upload, MultipartUpload={"Parts": self._parts}
        )
        if answer.ok:
            # Stores differ in the ETag of this answer, so that of HeadObject counts.
            head = self.target.probe.call("head_object", Key=key)
            data = first_part() + (self._small.data or b"")
            self.joined = ProbeObject(key, len(data), head.fields.get("ETag", ""), data)
        return self.target.scratch.settle(key, answer)

    def _abort(self) -> Answer:
        created = self.target.scratch.create_upload("aborted")
        if not created.ok:
            return created
        key, upload_id = f"{self.target.scratch.prefix}aborted", created.fields["UploadId"]
        return self.target.probe.call("abort_multipart_upload", Key=key, UploadId=upload_id)

    def _delete_many(self) -> Answer:
        listed = [{"Key": f"{self.target.scratch.prefix}none"}]
        answer = self.target.probe.call("delete_objects", Delete={"Objects": listed, "Quiet": True})
        errors = answer.fields.get("Errors", [])
        return Answer(403, answer.headers, code=errors[0].get("Code", "")) if errors else answer


@cache
def first_part() -> bytes:
    """Return the smallest part that S3 accepts before the last one, always the same bytes."""
    return random.Random(20).randbytes(MIN_PART_SIZE)  # noqa: S311  # not a secret


def _refused(call: StoreCall, answer: Answer, target: StoreTarget) -> Finding:
    if answer.status == 403 or answer.code == "AccessDenied":
        action = answer.denied_action or call.action
        return Finding(
            "store-denied",
            Severity.BROKEN,
            f"{call.operation} was refused ({answer.shown})",
            f"Without {action} these fail: {call.used_by}.",
            f"allow {action} in the IAM policy of the gateway, on {_resource(action, target)}",
        )
    if answer.is_busy:
        return busy_finding(answer, f"{call.operation} at {target.where}")
    return Finding(
        "store-call-failed",
        Severity.BROKEN,
        f"{call.operation} was answered {answer.shown}",
        f"These need it: {call.used_by}.",
        "use a store that has this operation, and look into the store's log",
    )


def _resource(action: str, target: StoreTarget) -> str:
    """Return what a policy names for the action: the bucket, its objects, or the key of KMS."""
    if not action.startswith("s3:"):
        return "the KMS key of the bucket"
    of_bucket = action in ("s3:ListBucket", "s3:ListBucketMultipartUploads")
    return f"arn:aws:s3:::{target.bucket}" + ("" if of_bucket else f"/{target.base}*")
