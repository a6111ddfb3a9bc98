"""Checks whether the store can be used at all: it answers, and accepts clock, region, keys and bucket."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from email.utils import parsedate_to_datetime

from image_gateway.doctor.store_failures import (
    busy_finding,
    failure_finding,
    not_s3_finding,
    unexpected_finding,
)
from image_gateway.doctor.store_target import SUBJECT, StoreTarget, skipped
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.storage.probe import Answer, ProbeFailed

# AWS refuses requests that are dated 15 minutes off (RequestTimeTooSkewed).
REFUSED_SKEW, WARNED_SKEW = 900, 60
_WRONG_KEYS = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidClientTokenId"})
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken"})
_WRONG_REGION = frozenset(
    {
        "PermanentRedirect",
        "TemporaryRedirect",
        "AuthorizationHeaderMalformed",
        "AuthorizationQueryParametersError",
        "IllegalLocationConstraintException",
        "301",
        "307",
    }
)


def check_connection(target: StoreTarget) -> Generator[Check, None, bool]:
    """Send one presigned ListObjectsV2 and yield what its answer says; return whether to go on.

    The request is sent without the SDK, which would follow a redirect to another region and hide it.
    """
    try:
        url = target.probe.presign("list_objects_v2", Prefix=target.base, MaxKeys=1)
        answer = target.probe.send("GET", url)
    except ProbeFailed as error:
        yield _check("the store answers", [failure_finding(error, target.where)])
        return False
    yield _check("the store answers", _answered(answer, target), f"{target.where}, bucket {target.bucket}")
    if answer.is_busy or not _is_s3(answer):
        return False
    skew = _skew(answer)
    if skew is None:
        yield skipped("the clock of this machine", "the store's answers have no Date")
    else:
        yield _check("the clock of this machine", _skewed(skew, answer), f"{abs(skew):.0f} s off the store's")
    clock_is_wrong = answer.code == "RequestTimeTooSkewed" or abs(skew or 0) > REFUSED_SKEW
    if clock_is_wrong and not answer.ok:
        return False
    refused = [*_region(answer, target), *_credentials(answer), *_bucket(answer, target)]
    if not refused and not answer.ok and not _is_denied(answer):
        refused = [unexpected_finding(answer, "a signed list of the bucket")]
    yield _check("region, credentials and bucket", refused, f"region {target.probe.address.region}")
    return not refused


def _check(name: str, findings: Iterable[Finding], detail: str = "") -> Check:
    return Check(SUBJECT, name, detail, tuple(findings))


def _answered(answer: Answer, target: StoreTarget) -> list[Finding]:
    if answer.is_busy:
        return [busy_finding(answer, target.where)]
    return [] if _is_s3(answer) else [not_s3_finding(answer, target.where)]


def _is_s3(answer: Answer) -> bool:
    """Whether the answer is a list of objects or an error document of S3."""
    return b"ListBucketResult" in answer.body[:4096] if answer.ok else b"<Code>" in answer.body[:4096]


def _is_denied(answer: Answer) -> bool:
    return answer.status == 403 or answer.code == "AccessDenied"


def _skew(answer: Answer) -> float | None:
    """Return by how many seconds this machine's clock is ahead of the store's; None if unknown."""
    try:
        there = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None
    sent, received = answer.requested_at
    # Date has whole seconds, and was written some time between request and answer.
    if sent >= there + 1:
        return sent - (there + 1)
    return min(0.0, received - there)


def _skewed(skew: float, answer: Answer) -> list[Finding]:
    refused = abs(skew) > REFUSED_SKEW or answer.code == "RequestTimeTooSkewed"
    if not refused and abs(skew) <= WARNED_SKEW:
        return []
    return [
        Finding(
            "store-clock-skew",
            Severity.BROKEN if refused else Severity.WARNING,
            f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the store's",
            "Signatures have a date: S3 refuses those that are 15 minutes off (RequestTimeTooSkewed), and "
            "presigned URLs expire that much earlier or later than the gateway says.",
            "synchronise the clock by NTP, for example with chrony or systemd-timesyncd",
        )
    ]


def _region(answer: Answer, target: StoreTarget) -> list[Finding]:
    configured, named = target.probe.address.region, answer.region
    differs = named is not None and named != configured
    is_wrong = answer.code in _WRONG_REGION or (differs and (target.is_aws or not answer.ok))
    if not is_wrong or (answer.code == "AuthorizationQueryParametersError" and not differs):
        return []
    seen = f"the bucket is in {named}" if differs else "the store redirects to another region"
    return [
        Finding(
            "store-wrong-region",
            Severity.BROKEN,
            f"AWS_REGION is {configured}, but {seen} ({answer.shown})",
            "Signatures name the region. The SDK follows the redirect, browsers with presigned URLs do not.",
            f"set AWS_REGION={named}" if differs else "set AWS_REGION to the region of the bucket",
        )
    ]


def _credentials(answer: Answer) -> list[Finding]:
    if answer.code in _WRONG_KEYS:
        what = (
            "does not know the access key"
            if answer.code != "SignatureDoesNotMatch"
            else ("refuses the signature: the secret key is not that of the access key")
        )
        return [
            Finding(
                "store-wrong-credentials",
                Severity.BROKEN,
                f"the store {what} ({answer.shown})",
                "The gateway cannot read or write any image, and presigned URLs are refused.",
                "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; a proxy that changes the Host header "
                "breaks signatures, too",
            )
        ]
    if answer.code in _EXPIRED:
        return [
            Finding(
                "store-expired-token",
                Severity.BROKEN,
                f"the session token has expired or is not valid ({answer.shown})",
                "The gateway cannot read or write any image, and presigned URLs are refused.",
                "renew AWS_SESSION_TOKEN with its keys (aws sso login), or use a role, which the SDK renews",
            )
        ]
    return []


def _bucket(answer: Answer, target: StoreTarget) -> list[Finding]:
    if answer.code not in ("NoSuchBucket", "404"):
        return []
    return [
        Finding(
            "store-no-bucket",
            Severity.BROKEN,
            f"there is no bucket {target.bucket} at {target.where}",
            "The gateway cannot read or write any image.",
            "correct S3_BUCKET, or create the bucket: image-gateway bucket init",
        )
    ]
