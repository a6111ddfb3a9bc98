"""Findings for requests that the store did not answer, or answered with something that is not S3."""

from __future__ import annotations

from image_gateway.domain.findings import Finding, Severity
from image_gateway.storage.probe import Answer, Failure, ProbeFailed

_WHY = "The gateway cannot read or write any image."
_REMEDIES = {
    Failure.DNS: ("store-dns", "correct the host in S3_ENDPOINT (or AWS_REGION), or the resolver here"),
    Failure.REFUSED: ("store-refused", "start the store, or correct host and port in S3_ENDPOINT"),
    Failure.CONNECTION: (
        "store-connection",
        "check network and firewalls between here and the store; use https:// if its port speaks TLS",
    ),
    Failure.TLS: (
        "store-tls",
        "use the name that the certificate is for, set AWS_CA_BUNDLE for a private authority, or use http://",
    ),
    Failure.TIMEOUT: (
        "store-timeout",
        "check firewalls, security groups and VPC endpoints; look whether the store is overloaded",
    ),
    Failure.PROXY: ("store-proxy", "correct HTTPS_PROXY and HTTP_PROXY, or list the store in NO_PROXY"),
    Failure.BAD_ANSWER: (
        "store-not-s3",
        "set S3_ENDPOINT to the S3 port of the store, with https:// if it speaks TLS",
    ),
}
_NOT_S3 = "store-not-s3"


def failure_finding(error: ProbeFailed, where: str) -> Finding:
    """Return the finding for a request to `where` that got no answer."""
    if error.failure is Failure.NO_CREDENTIALS:
        return Finding(
            "store-no-credentials",
            Severity.BROKEN,
            f"there are no credentials for the store: {error}",
            _WHY,
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role",
        )
    code, remedy = _REMEDIES[error.failure]
    return Finding(code, Severity.BROKEN, f"{where}: {error}", _WHY, remedy)


def not_s3_finding(answer: Answer, where: str) -> Finding:
    """Return the finding for an answer of something else: a proxy, a sign-in page, a web server."""
    kind = answer.headers.get("content-type", "no type")
    return Finding(
        _NOT_S3,
        Severity.BROKEN,
        f"{where} answered {answer.status} with a body that is not S3's ({kind[:80]})",
        "A proxy, a sign-in page or another server answers in place of the store.",
        "set S3_ENDPOINT to the S3 port of the store; list the store in NO_PROXY",
    )


def busy_finding(answer: Answer, where: str) -> Finding:
    """Return the finding for a store that could not answer several times in a row."""
    return Finding(
        "store-busy",
        Severity.BROKEN,
        f"{where} answered {answer.shown} three times",
        "Readers and uploads get 503 S3_UNAVAILABLE meanwhile.",
        "look at the store's load and its log; on AWS wait, S3 adds capacity for a prefix by itself",
    )


def incomplete_finding(field: str, where: str) -> Finding:
    """Return the finding for an answer that lacks a field of the S3 API."""
    return Finding(
        "store-unexpected-answer",
        Severity.BROKEN,
        f"an answer of {where} lacks {field}",
        "The gateway answers 502 S3_ERROR when it gets this from the store.",
        "use a store that answers as the S3 API reference says, and remove proxies that change answers",
    )


def unexpected_finding(answer: Answer, what: str) -> Finding:
    """Return the finding for an error that no check knows."""
    return Finding(
        "store-unexpected-answer",
        Severity.BROKEN,
        f"{what} was answered {answer.shown}",
        "The gateway answers 502 S3_ERROR when it gets this from the store.",
        "look up the code in the S3 API reference (Error responses), and in the store's log",
    )
