"""Checks of how the bucket is configured: who may read it, what is kept, what is deleted, encryption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from image_gateway.doctor.store_rights import ProbeObject
from image_gateway.doctor.store_target import Findings, Skip, StoreTarget, run_check, skipped
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.storage.bucket import ABORT_AFTER_DAYS, RULE_UNSUPPORTED
from image_gateway.storage.probe import Answer, unsigned

_DAY = 86_400
_NO_RULES = "NoSuchLifecycleConfiguration"
# Pages of 1,000 uploads.
_MAX_PAGES = 10


def check_bucket(
    target: StoreTarget, *, probed: ProbeObject | None, written: Answer | None, read_only: bool = False
) -> Iterator[Check]:
    """Yield the checks; `probed` is an object to read, `written` the answer to the PutObject of a probe."""
    yield run_check(target, "an anonymous list", _anonymous_list)
    if probed is None:
        yield skipped("an anonymous read", "there is no object to read")
    else:
        yield run_check(target, "an anonymous read", partial(_anonymous_read, probed=probed))
    for name, check in (
        ("an anonymous write", _anonymous_write),
        ("encryption at rest", partial(check_encryption, written=written)),
        ("versioning", partial(_versioning, written=written)),
    ):
        if read_only:
            yield skipped(name, "--read-only")
        else:
            yield run_check(target, name, check)
    yield run_check(target, "lifecycle rules", _lifecycle)
    yield run_check(target, "old incomplete uploads", _old_uploads)


def _anonymous_list(target: StoreTarget) -> Findings:
    url = unsigned(target.probe.presign("list_objects_v2", Prefix=target.base, MaxKeys=1))
    answer = target.probe.send("GET", url)
    if answer.ok:
        yield _public("store-public-list", "list the bucket", "the keys of all images")
    return f"refused: {answer.shown}"


def _anonymous_read(target: StoreTarget, *, probed: ProbeObject) -> Findings:
    answer = target.probe.send(
        "GET", unsigned(target.probe.presign("get_object", Key=probed.key)), headers={"Range": "bytes=0-0"}
    )
    if answer.ok:
        yield _public("store-public-read", "read objects", "every private image whose key is known")
    return f"refused: {answer.shown}"


def _anonymous_write(target: StoreTarget) -> Findings:
    key = target.scratch.key("anonymous")
    answer = target.probe.send("PUT", unsigned(target.probe.presign("put_object", Key=key)), body=b"probe")
    target.scratch.settle(key, answer)
    if answer.ok:
        yield _public("store-public-write", "write objects", "the store: images can be replaced")
    return f"refused: {answer.shown}"


def _public(code: str, may: str, exposes: str) -> Finding:
    return Finding(
        code,
        Severity.BROKEN,
        f"anyone may {may}: a request without credentials was accepted",
        f"This opens {exposes}, whatever the gateway decides.",
        "on AWS turn on Block Public Access and remove bucket policies and ACLs with Principal *; on other "
        "stores turn on authentication and make the bucket private",
    )


def check_encryption(target: StoreTarget, *, written: Answer | None) -> Findings:
    if written is None:
        raise Skip("PutObject failed")
    algorithm = written.fields.get("ServerSideEncryption")
    if algorithm:
        return str(algorithm)
    if not target.is_aws:
        raise Skip("the store does not say; many encrypt their disks instead")
    yield Finding(
        "store-not-encrypted",
        Severity.WARNING,
        "the answer to PutObject names no server-side encryption",
        "AWS encrypts all objects since 2023, and says so in each answer.",
        "check S3_ENDPOINT and proxies; turn on default encryption of the bucket",
    )
    return ""


def _versioning(target: StoreTarget, *, written: Answer | None) -> Findings:
    if written is None:
        raise Skip("PutObject failed")
    if written.fields.get("VersionId", "null") == "null":
        return "off"
    answer = target.probe.call("get_bucket_lifecycle_configuration")
    expiring = [
        rule
        for rule in _enabled_rules(answer)
        if "NoncurrentVersionExpiration" in rule and target.base.startswith(_prefix(rule) or "")
    ]
    if not expiring:
        yield Finding(
            "store-versioning",
            Severity.WARNING,
            "the bucket keeps old versions of objects",
            "Deleted images stay in the bucket as old versions, and cost as much as before.",
            "suspend versioning, or add a lifecycle rule with NoncurrentVersionExpiration",
        )
    return "on, and a lifecycle rule deletes old versions"


def _lifecycle(target: StoreTarget) -> Findings:
    answer = target.probe.call("get_bucket_lifecycle_configuration")
    if answer.code in RULE_UNSUPPORTED:
        raise Skip("the store has no lifecycle rules; image-gateway sweep aborts old uploads")
    if answer.status == 403:
        raise Skip("s3:GetLifecycleConfiguration is not allowed, which the gateway does not need")
    if not answer.ok and answer.code not in (_NO_RULES, "404"):
        raise Skip(f"GetBucketLifecycleConfiguration was answered {answer.shown}")
    rules = _enabled_rules(answer)
    yield from _abort_rule([rule for rule in rules if target.base.startswith(_prefix(rule) or "")], target)
    for rule in rules:
        touched = _touched(rule, target)
        if touched is not None:
            yield touched
    return f"{len(rules)} enabled" if rules else "none"


def _enabled_rules(answer: Answer) -> list[Mapping[str, Any]]:
    return [
        rule
        for rule in answer.fields.get("Rules", [])
        if rule.get("Status") == "Enabled" and _prefix(rule) is not None
    ]


def _prefix(rule: Mapping[str, Any]) -> str | None:
    """Return the prefix of the keys that a rule is for; None if it is for tagged or sized objects only."""
    given = rule.get("Filter", {})
    if given.keys() & {"And", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan"}:
        return None
    return str(given.get("Prefix", rule.get("Prefix", "")))


def _abort_rule(rules: list[Mapping[str, Any]], target: StoreTarget) -> Iterator[Finding]:
    days = [
        rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
        for rule in rules
        if "AbortIncompleteMultipartUpload" in rule
    ]
    needed = -(-target.upload_max_seconds // _DAY)
    if not days:
        yield Finding(
            "store-no-abort-rule",
            Severity.WARNING,
            "no lifecycle rule aborts incomplete multipart uploads",
            "Parts of uploads that were never completed cost money until somebody deletes them. The sweeper "
            "does so, as long as it runs and its catalog knows them.",
            f"image-gateway bucket init adds a rule that aborts them after {ABORT_AFTER_DAYS} days",
        )
    elif min(days) < needed:
        yield Finding(
            "store-abort-rule-short",
            Severity.WARNING,
            f"a lifecycle rule aborts uploads after {min(days)} days, UPLOAD_MAX_SECONDS allows {needed}",
            "Uploads that people still work on are lost.",
            f"set DaysAfterInitiation to {needed} or more, or lower UPLOAD_MAX_SECONDS",
        )


def _touched(rule: Mapping[str, Any], target: StoreTarget) -> Finding | None:
    """Return the finding for a rule that deletes images or moves them where they cannot be read."""
    prefix = _prefix(rule) or ""
    if not (prefix.startswith(target.base) or target.base.startswith(prefix)):
        return None
    name = str(rule.get("ID", "without an ID"))[:100]
    if rule.get("Expiration", {}).keys() & {"Days", "Date"}:
        return Finding(
            "store-expires-images",
            Severity.BROKEN,
            f"the lifecycle rule {name!r} deletes objects below {prefix!r}",
            "Images disappear from the store while the gateway still lists them.",
            f"limit the rule to keys that do not begin with {target.base!r}, or remove it",
        )
    classes = {str(move.get("StorageClass")) for move in rule.get("Transitions", [])}
    archives = sorted(classes & {"GLACIER", "DEEP_ARCHIVE"})
    if archives:
        return Finding(
            "store-archives-images",
            Severity.BROKEN,
            f"the lifecycle rule {name!r} moves objects below {prefix!r} to {', '.join(archives)}",
            "Archived objects cannot be read before they are restored (403 InvalidObjectState).",
            "use GLACIER_IR, STANDARD_IA or INTELLIGENT_TIERING, or limit the rule to other keys",
        )
    return None


def _old_uploads(target: StoreTarget) -> Findings:
    oldest_allowed = datetime.now(UTC) - timedelta(days=ABORT_AFTER_DAYS)
    total, old = 0, 0
    markers: dict[str, str] = {}
    for _ in range(_MAX_PAGES):
        answer = target.probe.call("list_multipart_uploads", Prefix=target.base, **markers)
        if not answer.ok:
            raise Skip(f"ListMultipartUploads was answered {answer.shown}")
        uploads = [
            upload
            for upload in answer.fields.get("Uploads", [])
            if not upload["Key"].startswith(target.scratch.prefix)
        ]
        total += len(uploads)
        old += sum(upload["Initiated"].astimezone(UTC) < oldest_allowed for upload in uploads)
        if not answer.fields.get("IsTruncated"):
            break
        markers = {
            "KeyMarker": answer.fields["NextKeyMarker"],
            "UploadIdMarker": answer.fields["NextUploadIdMarker"],
        }
    if old:
        yield Finding(
            "store-old-uploads",
            Severity.WARNING,
            f"{old} multipart uploads were begun more than {ABORT_AFTER_DAYS} days ago",
            "Their parts cost money, and neither the sweeper nor a lifecycle rule has removed them.",
            "run image-gateway sweep every hour, and image-gateway bucket init for the lifecycle rule",
        )
    return f"{total} uploads in progress, none is old"
