"""What all checks of the store share: the store, the probe objects, and how a check becomes a Check."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from image_gateway.doctor.store_failures import failure_finding, incomplete_finding
from image_gateway.domain.findings import Check, Finding
from image_gateway.storage.probe import Answer, ProbeFailed, StoreProbe

SUBJECT = "store"
FOLDER = "image-gateway-doctor"
# A check yields what is wrong and returns what it saw.
Findings = Generator[Finding, None, str]


class Skip(Exception):
    """The check cannot be made; the message says why."""


@dataclass
class Scratch:
    """The objects and uploads that the checks make below one prefix of their own, and their removal."""

    probe: StoreProbe
    prefix: str
    keys: set[str] = field(default_factory=set)
    uploads: set[tuple[str, str]] = field(default_factory=set)
    has_versions: bool = False
    may_have_lost_uploads: bool = False

    def key(self, name: str) -> str:
        """Return a key, which will be deleted in the end."""
        key = f"{self.prefix}{name}"
        self.keys.add(key)
        return key

    def put(self, name: str, data: bytes, content_type: str = "application/octet-stream") -> Answer:
        """Write an object with the headers that the gateway gives its objects."""
        key = self.key(name)
        answer = self.probe.call(
            "put_object",
            Key=key,
            Body=data,
            ContentType=content_type,
            ContentEncoding="identity",
            CacheControl="private, no-store, no-transform",
        )
        self.has_versions |= answer.fields.get("VersionId", "null") != "null"
        return self.settle(key, answer)

    def settle(self, key: str, answer: Answer) -> Answer:
        """Return the answer to a request that writes a key, which is not there if the request was refused."""
        if not answer.ok and not answer.is_busy:
            self.keys.discard(key)
        return answer

    def create_upload(self, name: str) -> Answer:
        """Create a multipart upload, which will be aborted in the end."""
        key = f"{self.prefix}{name}"
        try:
            answer = self.probe.call("create_multipart_upload", Key=key, ContentEncoding="identity")
        except ProbeFailed:
            self.may_have_lost_uploads = True
            raise
        self.may_have_lost_uploads |= answer.is_busy
        if answer.ok:
            self.uploads.add((key, answer.fields["UploadId"]))
        return answer

    def remove_all(self) -> list[str]:
        """Abort the uploads and delete the objects; return what could not be removed."""
        left = [key for key, upload_id in sorted(self.uploads) if not self._abort(key, upload_id)]
        if self.may_have_lost_uploads and not self._abort_lost_uploads():
            left.append(f"uploads below {self.prefix}")
        left += [key for key in sorted(self.keys) if not self._delete(key)]
        if self.has_versions and not self._delete_versions():
            left.append(f"versions below {self.prefix}")
        return left

    def _abort(self, key: str, upload_id: str) -> bool:
        # A completed or aborted upload is answered 404.
        answer = self._attempt("abort_multipart_upload", Key=key, UploadId=upload_id)
        return answer is not None and (answer.ok or answer.status == 404)

    def _abort_lost_uploads(self) -> bool:
        """Abort uploads that were created without an answer, so that their ids are not known."""
        answer = self._attempt("list_multipart_uploads", Prefix=self.prefix)
        if answer is None or not answer.ok:
            return False
        aborted = [self._abort(item["Key"], item["UploadId"]) for item in answer.fields.get("Uploads", [])]
        return all(aborted)

    def _delete(self, key: str) -> bool:
        answer = self._attempt("delete_object", Key=key)
        return answer is not None and (answer.ok or answer.status == 404)

    def _delete_versions(self) -> bool:
        answer = self._attempt("list_object_versions", Prefix=self.prefix)
        if answer is None or not answer.ok:
            return False
        listed = [*answer.fields.get("Versions", []), *answer.fields.get("DeleteMarkers", [])]
        deleted = [
            self._attempt("delete_object", Key=item["Key"], VersionId=item["VersionId"]) for item in listed
        ]
        return all(answer is not None and answer.ok for answer in deleted)

    def _attempt(self, operation: str, **arguments: object) -> Answer | None:
        try:
            return self.probe.call(operation, **arguments)
        except ProbeFailed:
            return None


@dataclass(frozen=True)
class StoreTarget:
    """The store that the settings name, and what of the settings its checks need.

    Attributes:
        base: Prefix of the keys of all images; empty or with a trailing slash.
        origins: As CORS_ALLOW_ORIGIN.
        upload_max_seconds: Longest time that an upload may take.
        where: The endpoint of the store, for people.
    """

    probe: StoreProbe
    scratch: Scratch
    base: str
    origins: tuple[str, ...]
    upload_max_seconds: int
    where: str

    @property
    def is_aws(self) -> bool:
        return self.probe.address.endpoint is None

    @property
    def bucket(self) -> str:
        return self.probe.address.bucket


def make_target(
    probe: StoreProbe, *, base_path: str, origins: tuple[str, ...], upload_max_seconds: int
) -> StoreTarget:
    """Return a target whose probe objects have a prefix of their own, below that of the images."""
    base = f"{base_path.strip('/')}/".lstrip("/")
    scratch = Scratch(probe, f"{base}{FOLDER}/{secrets.token_hex(8)}/")
    return StoreTarget(probe, scratch, base, origins, upload_max_seconds, probe.origin)


def run_check(target: StoreTarget, name: str, work: Callable[[StoreTarget], Findings]) -> Check:
    """Run one check; a request without an answer becomes a finding."""
    findings: list[Finding] = []
    running = work(target)
    try:
        while True:
            findings.append(next(running))
    except StopIteration as ended:
        return Check(SUBJECT, name, ended.value, tuple(findings))
    except Skip as skip:
        return Check(SUBJECT, name, findings=tuple(findings), skipped=None if findings else str(skip))
    except ProbeFailed as error:
        return Check(SUBJECT, name, findings=(*findings, failure_finding(error, target.where)))
    except KeyError as error:
        return Check(SUBJECT, name, findings=(*findings, incomplete_finding(str(error), target.where)))


def skipped(name: str, why: str) -> Check:
    return Check(SUBJECT, name, skipped=why)
