"""Checks a CloudFront distribution from outside, as readers use it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from image_gateway.components import make_cdn
from image_gateway.doctor.cloudfront_reads import Reader, Results, Skip, broken, warning
from image_gateway.doctor.cloudfront_targets import open_targets
from image_gateway.doctor.http_probe import Probed, ProbeFailed, Send, send_request
from image_gateway.domain.findings import Check, Finding
from image_gateway.errors import GatewayError
from image_gateway.protocol.repeated_secrets import Secrets
from image_gateway.services.stream_urls import Cdn
from image_gateway.settings import Settings

SUBJECT = "cloudfront"


def check_cloudfront(
    settings: Settings,
    *,
    public_path: str | None = None,
    send: Send = send_request,
    clock: Callable[[], float] = time.time,
) -> Iterator[Check]:
    """Yield the checks of the distribution that the settings name, and one skipped check if they name none.

    It reads two images of the catalog, or objects that it writes below IMAGE_BASE_PATH and deletes.

    Args:
        public_path: A path that needs no signature, like `/public`; None if there is none.
        send: Sends one request.
        clock: Returns seconds since the epoch.

    Raises:
        SettingsError: CLOUDFRONT_PRIVATE_KEY_PEM cannot be used.
    """
    cdn = make_cdn(settings, clock=clock)
    if cdn is None:
        yield Check(SUBJECT, "the distribution", skipped="CLOUDFRONT_DOMAIN is not set")
        return
    answers = make_check("the domain answers", lambda: _ask(cdn, settings.image_base_path, send))
    yield answers
    if answers.findings:
        return
    # Lifetimes are rounded up by a part of themselves.
    past = 3 * settings.cloudfront_signed_ttl_seconds
    expired = replace(cdn, signer=cdn.signer.with_clock(lambda: clock() - past))
    sending = partial(_send_without_echo, send)
    left: list[str] = []
    try:
        with open_targets(settings, 2, left) as (target, other):
            yield from _checks(Reader(settings, cdn, expired, target, other, public_path or "", sending))
    except GatewayError as error:
        finding = broken(
            "cloudfront-no-object",
            f"no image can be read from the catalog, and writing a probe object failed: {error.code}",
            "Without an object nothing can be read through CloudFront, so nothing else was checked.",
            "check the store (`image-gateway doctor`), or upload two images",
        )
        yield Check(SUBJECT, "an object to read", findings=(finding,))
    yield from check_removal(left)


def check_removal(left: list[str]) -> Iterator[Check]:
    """Yield a check if there are keys of probe objects that could not be deleted."""
    if left:
        finding = warning(
            "cloudfront-probe-left",
            f"deleting {', '.join(left)} failed",
            "Probe objects take up space.",
            "delete them in the bucket; the gateway needs s3:DeleteObject for its own work, too",
        )
        yield Check(SUBJECT, "probe objects are deleted", findings=(finding,))


def _send_without_echo(send: Send, method: str, url: str, headers: Mapping[str, str]) -> Probed:
    """Send a request; a server that is not CloudFront may repeat the signature in its answer."""
    answer = send(method, url, headers)
    cookies = {name: value for name, value in headers.items() if name.lower() == "cookie"}
    return replace(answer, headers=Secrets([url], cookies).hide_in(answer.headers))


def _ask(cdn: Cdn, base_path: str, send: Send) -> Results:
    """Read an object that does not exist, without a signature."""
    answer = send("GET", f"https://{cdn.domain}{base_path}/image-gateway-probe", {})
    yield f"{cdn.domain}: {answer.shown}"


def _checks(reader: Reader) -> Iterator[Check]:
    """Yield all checks; those that need a signed read are skipped if none is served."""
    yield make_check("a request without a signature is refused", reader.unsigned)
    signed = make_check("a signed URL is served", reader.signed_url)
    yield signed
    for name, results in _checks_of_reads(reader):
        if signed.findings:
            yield Check(SUBJECT, name, skipped="no signed URL is served")
        else:
            yield make_check(name, results)
    yield make_check("an expired signature is refused", reader.expired_signature)
    if reader.public_path:
        yield make_check("the public path needs no signature", reader.public)
    else:
        yield Check(SUBJECT, "the public path needs no signature", skipped="no public path was given")


def _checks_of_reads(reader: Reader) -> Iterator[tuple[str, Callable[[], Results]]]:
    yield "signed cookies are served", reader.signed_cookies
    yield "a range", reader.range
    yield "nothing is compressed", reader.compression
    yield "a preflight", reader.preflight
    yield "headers for pages of other origins", reader.cors
    yield "headers for embedding", reader.embedding
    yield "the second read comes from the cache", reader.cache
    yield "a signature ends at its image", reader.other_image


def make_check(name: str, results: Callable[[], Results]) -> Check:
    """Make a check of what `results` yields; a distribution that does not answer is a finding."""
    findings: list[Finding] = []
    detail = ""
    try:
        for result in results():
            if isinstance(result, Finding):
                findings.append(result)
            else:
                detail = result
    except Skip as reason:
        return Check(SUBJECT, name, skipped=str(reason))
    except ProbeFailed as error:
        findings.append(
            broken(
                "cloudfront-unreachable",
                f"the distribution does not answer: {error}",
                "Readers cannot read any image.",
                "compare CLOUDFRONT_DOMAIN with the outputs of the stack; an own name needs a CNAME record "
                "and a certificate; a new distribution takes some minutes",
            )
        )
    return Check(SUBJECT, name, detail, tuple(findings))
