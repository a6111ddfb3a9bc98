"""Checks what browsers do with the store: preflights, presigned part URLs, and what these must not allow."""

from __future__ import annotations

from collections.abc import Iterator

from image_gateway.doctor.store_failures import busy_finding
from image_gateway.doctor.store_target import Findings, Skip, StoreTarget, run_check, skipped
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.storage.cors import hidden_headers, page_origins, preflight_problem
from image_gateway.storage.probe import URL_SECONDS, Answer, ProbeFailed, forged

_DATA = b"a part of a probe"
_BROWSERS = ("uploads in browsers",)
_EXPIRED_AGE = 2 * 3600


def check_uploads(target: StoreTarget, *, read_only: bool = False) -> Iterator[Check]:
    """Yield the checks of presigned uploads by the public endpoint."""
    public = run_check(target, "the public endpoint", _public_endpoint)
    yield public
    names = ("a part by a presigned PUT", "a longer part than was signed", "expired and forged URLs")
    if public.findings:
        for name in ("CORS preflights", *names):
            yield skipped(name, "the public endpoint cannot be used")
        return
    yield run_check(target, "CORS preflights", _preflights)
    if read_only:
        for name in names:
            yield skipped(name, "--read-only")
        return
    for name, check in zip(names, (_presigned_put, _longer_part, _expired_and_forged), strict=True):
        yield run_check(target, name, check)


def _public_endpoint(target: StoreTarget) -> Findings:
    public = target.probe.address.public_endpoint
    if public is None:
        return "the same as S3_ENDPOINT"
    url = target.probe.presign("list_objects_v2", public=True, Prefix=target.base, MaxKeys=1)
    try:
        answer = target.probe.send("GET", url)
    except ProbeFailed as error:
        yield Finding(
            "store-public-endpoint",
            Severity.WARNING,
            f"S3_PUBLIC_ENDPOINT={public} cannot be reached from here: {error}",
            "Browsers send parts to this address. They may reach it although this machine does not.",
            "open the address in a browser; if it answers there, run image-gateway doctor where browsers are",
            _BROWSERS,
        )
        return ""
    if answer.ok and b"ListBucketResult" in answer.body[:4096]:
        return public
    if answer.code == "AccessDenied":
        return f"{public}, without the right to list"
    yield Finding(
        "store-public-endpoint-differs",
        Severity.BROKEN,
        f"S3_PUBLIC_ENDPOINT={public} answered {answer.shown} to a presigned request",
        "Presigned URLs are signed for this address: it must be the same store, by another name, and the "
        "Host header must reach the store unchanged.",
        "set S3_PUBLIC_ENDPOINT to the store's public name; let a proxy before it keep the Host header",
        _BROWSERS,
    )
    return ""


def _preflights(target: StoreTarget) -> Findings:
    origins = page_origins(target.origins)
    url = target.probe.presign_part(f"{target.scratch.prefix}cors", "none", 1)
    problems = [
        problem for origin in origins if (problem := preflight_problem(target.probe, url, origin)) is not None
    ]
    if problems:
        yield Finding(
            "store-cors",
            Severity.BROKEN,
            f"the store refuses a preflight of PUT: {'; '.join(problems[:5])}",
            "Browsers do not send the parts of an upload then, and show a network error.",
            "image-gateway bucket init sets the CORS rules of the bucket for CORS_ALLOW_ORIGIN",
            _BROWSERS,
        )
    return f"PUT from {', '.join(origins)}"


def _upload_id(target: StoreTarget) -> str:
    """Create the upload that a check puts parts into."""
    created = target.scratch.create_upload("parts")
    if not created.ok:
        raise Skip("CreateMultipartUpload failed")
    return str(created.fields["UploadId"])


def _presigned_put(target: StoreTarget) -> Findings:
    upload_id = _upload_id(target)
    key = f"{target.scratch.prefix}parts"
    origin = page_origins(target.origins)[0]
    url = target.probe.presign_part(key, upload_id, 1, length=len(_DATA))
    answer = target.probe.send("PUT", url, body=_DATA, headers={"Origin": origin})
    if not answer.ok:
        yield (
            busy_finding(answer, "the store")
            if answer.is_busy
            else Finding(
                "store-presigned-put",
                Severity.BROKEN,
                f"a PUT to a presigned part URL was answered {answer.shown}",
                "Uploads send each part by such a URL.",
                "check that the Host header reaches the store unchanged, and that the policy of the bucket "
                "allows s3:PutObject by presigned URLs",
                ("uploads",),
            )
        )
        return ""
    if 1 not in [part["PartNumber"] for part in _parts(target, key, upload_id)]:
        yield Finding(
            "store-public-endpoint-differs",
            Severity.BROKEN,
            "a part that was sent by a presigned URL is not listed by the store",
            "S3_PUBLIC_ENDPOINT and S3_ENDPOINT must be one store.",
            "set S3_PUBLIC_ENDPOINT to the public name of the store at S3_ENDPOINT",
            ("uploads",),
        )
    hidden = hidden_headers(answer, ["ETag", "Retry-After"])
    if hidden:
        yield Finding(
            "store-cors-exposed",
            Severity.WARNING,
            f"the CORS rules do not let pages of {origin} read {' and '.join(hidden)}",
            "Upload libraries that list the parts need ETag; the console pauses as Retry-After says.",
            "image-gateway bucket init sets the CORS rules of the bucket for CORS_ALLOW_ORIGIN",
            _BROWSERS,
        )
    return f"{len(_DATA)} bytes"


def _parts(target: StoreTarget, key: str, upload_id: str) -> list[dict[str, object]]:
    listed = target.probe.call("list_parts", Key=key, UploadId=upload_id)
    if not listed.ok:
        raise Skip("ListParts failed")
    return list(listed.fields.get("Parts", []))


def _longer_part(target: StoreTarget) -> Findings:
    upload_id = _upload_id(target)
    url = target.probe.presign_part(f"{target.scratch.prefix}parts", upload_id, 1, length=len(_DATA))
    answer = target.probe.send("PUT", url, body=_DATA + b"!")
    if answer.ok:
        yield Finding(
            "store-length-not-enforced",
            Severity.WARNING,
            f"a PUT of {len(_DATA) + 1} bytes to a URL that signs Content-Length {len(_DATA)} was accepted",
            "A client can send more than it declared. The gateway refuses to complete such an upload, but "
            "its parts take space until they are deleted.",
            "use a store that verifies signed headers; run image-gateway sweep often",
        )
    return f"refused: {answer.shown}"


def _expired_and_forged(target: StoreTarget) -> Findings:
    upload_id = _upload_id(target)
    key = f"{target.scratch.prefix}parts"
    expired = target.probe.presign_part(key, upload_id, 1, age=_EXPIRED_AGE)
    answers: dict[str, Answer] = {
        "expired": target.probe.send("PUT", expired, body=_DATA),
        "forged": target.probe.send("PUT", forged(target.probe.presign_part(key, upload_id, 1)), body=_DATA),
    }
    if answers["forged"].ok:
        yield Finding(
            "store-signature-not-verified",
            Severity.BROKEN,
            "a URL with a wrong signature was accepted",
            "Anyone who can reach the store can write to it.",
            "turn on authentication in the store: it must know AWS_ACCESS_KEY_ID and its secret",
        )
    if answers["expired"].ok:
        yield Finding(
            "store-expiry-not-enforced",
            Severity.BROKEN,
            f"a URL that expired {(_EXPIRED_AGE - URL_SECONDS) // 60} minutes ago was accepted",
            "Presigned URLs are to be useless after PRESIGNED_URL_TTL_SECONDS, also to whoever finds one in "
            "a log or a browser's history.",
            "use a store that enforces X-Amz-Expires, and check its clock",
        )
    return ", ".join(f"{name}: {answer.shown}" for name, answer in answers.items())
