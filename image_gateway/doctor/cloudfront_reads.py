"""Reads one object of a distribution in all the ways in which clients do, and says what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from image_gateway.doctor.cloudfront_targets import Target
from image_gateway.doctor.http_probe import Probed, Send
from image_gateway.domain.findings import Finding, Severity
from image_gateway.routes.http.cors import EXPOSED
from image_gateway.services.stream_urls import Cdn
from image_gateway.settings import Settings

SOME_PAGE = "https://probe.example"
RANGE_BYTES = 65_536
# The edge location that answers may change between two requests.
CACHE_ATTEMPTS = 4
_TEMPLATE = "deploy deploy/cloudfront/template.yaml (docs/how-to/cloudfront.md)"
# What a check yields: findings, and a text that says what was seen.
Results = Iterator[Finding | str]


class Skip(Exception):
    """The check cannot be made; the message says why."""


@dataclass(frozen=True)
class Reader:
    """Reads `target`; every method is one check. `expired` signs with an expiry in the past.

    All methods may raise ProbeFailed.
    """

    settings: Settings
    cdn: Cdn
    expired: Cdn
    target: Target
    other: Target
    public_path: str
    send: Send

    def unsigned(self) -> Results:
        """Read without a signature, which must be refused."""
        answer = self._get(self._url())
        if answer.status < 300:
            yield broken(
                "cloudfront-open",
                f"{self.target.origin} was served without a signature (status {answer.status})",
                "Everybody who knows or guesses a URL can read a private image.",
                "put the image path behind a trusted key group: " + _TEMPLATE,
            )
        elif answer.status != 403:
            yield warning(
                "cloudfront-unexpected-status",
                f"a request without a signature was answered {answer.shown}, not 403",
                "Something other than a key group refuses it, or nothing does.",
                "compare the behaviour of the image path with deploy/cloudfront/template.yaml",
            )
        yield answer.shown

    def signed_url(self) -> Results:
        """Read by a signed URL."""
        answer = self._get(self._signed())
        yield from _refusal("cloudfront-signed-refused", "a signed URL", answer)
        yield f"{answer.shown}, {self.target.origin}"

    def signed_cookies(self) -> Results:
        """Read with signed cookies."""
        answer = self._get(self._url(), {"Cookie": self._cookies()})
        yield from _refusal("cloudfront-cookies-refused", "a request with signed cookies", answer)
        yield answer.shown

    def range(self) -> Results:
        """Read a range (RFC 9110 §14)."""
        first, last = min(1, self.target.size - 1), min(self.target.size, RANGE_BYTES) - 1
        answer = self._get(self._signed(), {"Range": f"bytes={first}-{last}"})
        given = (answer.status, answer.headers.get("Content-Range"), answer.headers.get("Content-Length"))
        wanted = (206, f"bytes {first}-{last}/{self.target.size}", str(last - first + 1))
        if given != wanted or len(answer.body) != last - first + 1:
            yield broken(
                "cloudfront-range",
                f"bytes {first} to {last} of {self.target.size} were answered with status {given[0]}, "
                f"Content-Range {given[1]}, Content-Length {given[2]}, {len(answer.body)} bytes",
                "Emulators read disks by ranges (RFC 9110 §14); they fail, or read the whole image.",
                "leave Range out of the cache key and forward nothing that changes the body: " + _TEMPLATE,
            )
        yield f"{given[1]}"

    def compression(self) -> Results:
        """Offer compression, which must not be used."""
        answer = self._get(self._signed(), {"Accept-Encoding": "gzip, br"}, whole=True)
        encoding = answer.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            yield broken(
                "cloudfront-compressed",
                f"Content-Encoding {encoding[:40]!r} under Accept-Encoding: gzip, br",
                "Compressed bytes have other offsets than the image, so ranges are wrong.",
                "set `Compress: false` in every behaviour, and no Accept-Encoding in the cache policy",
            )
        yield f"Content-Encoding {encoding[:40]}"

    def preflight(self) -> Results:
        """Send the preflight of a page (Fetch standard, CORS-preflight fetch)."""
        by_url = self.cdn.signs_urls
        asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range, if-range"}
        # A preflight has no cookies (Fetch standard, CORS-preflight fetch).
        url = self._signed() if by_url else self._url()
        answer = self.send("OPTIONS", url, {"Origin": self._page, **asked})
        origin = answer.headers.get("Access-Control-Allow-Origin", "")
        names = answer.headers.get("Access-Control-Allow-Headers", "")
        allowed = _listed(names)
        if answer.status == 403 and not by_url:
            yield warning(
                "cloudfront-preflight",
                f"a preflight from {self._page}, which carries no cookies, was answered {answer.shown}",
                "CloudFront asks it for a signature (API Reference, CacheBehavior). Browsers then refuse "
                "suffix ranges, If-Range and headers such as v86's X-Accept-Encoding; one plain Range works.",
                "use CLOUDFRONT_AUTH_MODE=url if your pages send such headers",
            )
        elif answer.status >= 300 or not self._names_page(origin) or not {"range", "if-range"} <= allowed:
            yield broken(
                "cloudfront-preflight",
                f"a preflight from {self._page} was answered {answer.shown}, Access-Control-Allow-Origin "
                f"{origin[:100]!r}, Access-Control-Allow-Headers {names[:100]!r}",
                "Browsers refuse reads with If-Range or with headers of your own. They need no preflight for "
                "a single Range (Fetch standard, CORS-safelisted request-header).",
                "associate deploy/cloudfront/preflight.js with the behaviour",
            )
        yield f"from {self._page}"

    def cors(self) -> Results:
        """Read as a page of another origin."""
        headers = self._get(self._signed(), {"Origin": self._page}).headers
        origin = headers.get("Access-Control-Allow-Origin", "")
        if not self._names_page(origin):
            yield broken(
                "cloudfront-cors-origin",
                f"Access-Control-Allow-Origin is {origin[:100]!r} for {self._page}",
                "Browsers do not let the page read the bytes.",
                "deploy the template with the origins of CORS_ALLOW_ORIGIN as AllowedOrigins; cookies need "
                "origins by name",
            )
        if not self.cdn.signs_urls and headers.get("Access-Control-Allow-Credentials") != "true":
            yield broken(
                "cloudfront-cors-credentials",
                "Access-Control-Allow-Credentials is not `true`, and CLOUDFRONT_AUTH_MODE=cookie",
                "Browsers do not let pages of other origins read what they send cookies for.",
                "name the origins in CORS_ALLOW_ORIGIN and AllowedOrigins, deploy with AuthMode=cookie",
            )
        hidden = _listed(EXPOSED) - _listed(headers.get("Access-Control-Expose-Headers", ""))
        if hidden:
            yield broken(
                "cloudfront-cors-exposed",
                f"Access-Control-Expose-Headers lacks {', '.join(sorted(hidden))}",
                "Pages cannot see where a range lies, or whether the image has changed.",
                "expose the headers that deploy/cloudfront/template.yaml exposes",
            )
        yield f"for {self._page}"

    def embedding(self) -> Results:
        """Look at the headers for embedding and sniffing."""
        headers = self._get(self._signed()).headers
        wanted = self.settings.cross_origin_resource_policy
        policy = headers.get("Cross-Origin-Resource-Policy")
        if policy != wanted:
            yield warning(
                "cloudfront-corp",
                f"Cross-Origin-Resource-Policy is {policy}, and CROSS_ORIGIN_RESOURCE_POLICY={wanted}",
                "Pages with Cross-Origin-Embedder-Policy, which threads need, may not embed it.",
                f"deploy the template with CrossOriginResourcePolicy={wanted}",
            )
        if headers.get("X-Content-Type-Options") != "nosniff":
            yield warning(
                "cloudfront-nosniff",
                "X-Content-Type-Options is not `nosniff`",
                "Browsers may take the bytes of an image for a page or a script.",
                "add it to the response headers policy: " + _TEMPLATE,
            )
        yield f"{policy}"

    def cache(self) -> Results:
        """Read the same bytes until they come from the cache."""
        if not self.target.is_cacheable:
            raise Skip("the Cache-Control of the object forbids it (IMAGE_CACHE_CONTROL)")
        seen = []
        for _ in range(CACHE_ATTEMPTS):
            seen.append(self._get(self._signed()).headers.get("X-Cache", "no X-Cache"))
            if len(seen) > 1 and seen[-1].startswith(("Hit", "RefreshHit")):
                break
        else:
            yield warning(
                "cloudfront-cache",
                f"{CACHE_ATTEMPTS} reads of the same bytes were answered {seen[-1][:60]!r} at last",
                "Each read goes to the bucket, which costs time and money.",
                "use a cache policy with the path as its only key and MaxTTL above 0: " + _TEMPLATE,
            )
        yield seen[-1][:60]

    def other_image(self) -> Results:
        """Read another image with the signature for this one, which must be refused."""
        query = self._signed().partition("?")[2]
        answer = self._get(f"{self._url(self.other)}?{query}")
        if answer.status < 300:
            yield broken(
                "cloudfront-signature-scope",
                f"a signature for {self.target.origin} opened {self.other.origin} (status {answer.status})",
                "Who may read one image can read all.",
                "put the image path behind a trusted key group: " + _TEMPLATE,
            )
        yield answer.shown

    def expired_signature(self) -> Results:
        """Read with an expired signature, which must be refused."""
        answer = self._get(self._signed(self.expired))
        if answer.status < 300:
            yield broken(
                "cloudfront-expired-accepted",
                f"a signature that has expired was served (status {answer.status})",
                "Whoever could read an image once can read it for ever.",
                "put the image path behind a trusted key group: " + _TEMPLATE,
            )
        yield answer.shown

    def public(self) -> Results:
        """Read below the public path without a signature."""
        path = f"/{self.public_path.strip('/')}/image-gateway-probe"
        answer = self._get(f"https://{self.cdn.domain}{path}")
        # S3 says AccessDenied of an object that does not exist to whoever may not list the bucket.
        if answer.error_code == "MissingKey":
            yield broken(
                "cloudfront-public-refused",
                f"{path} was answered {answer.shown}: the path needs a signature",
                "What is meant for everybody can be read by nobody.",
                "give the public path a behaviour without a key group: " + _TEMPLATE,
            )
        yield answer.shown

    @property
    def _page(self) -> str:
        origins = self.settings.cors_allow_origin
        return SOME_PAGE if origins == ("*",) else origins[0]

    def _names_page(self, origin: str) -> bool:
        return origin.lower() == self._page or (origin == "*" and self.cdn.signs_urls)

    def _url(self, target: Target | None = None) -> str:
        return self.cdn.url((target or self.target).key)

    def _signed(self, cdn: Cdn | None = None) -> str:
        return sign_target(cdn or self.cdn, self.target)

    def _cookies(self) -> str:
        policy = self.cdn.signer.sign_policy(f"https://{self.cdn.domain}{self.target.path}")
        return "; ".join(f"{name}={value}" for name, value in policy.cookie_values().items())

    def _get(self, url: str, headers: Mapping[str, str] | None = None, *, whole: bool = False) -> Probed:
        """GET the first byte of an object, or more of it."""
        return self.send("GET", url, {**({} if whole else {"Range": "bytes=0-0"}), **(headers or {})})


def sign_target(cdn: Cdn, target: Target) -> str:
    """Return the signed URL of an object; a secret."""
    policy = cdn.signer.sign_policy(f"https://{cdn.domain}{target.path}")
    return policy.sign_url(cdn.url(target.key))


def _refusal(code: str, what: str, answer: Probed) -> Iterator[Finding]:
    if answer.status in (200, 206):
        return
    yield broken(
        code,
        f"{what} was answered {answer.shown}",
        "Readers cannot read any image.",
        "AccessDenied: compare CLOUDFRONT_KEY_PAIR_ID with the key group, the private key with that public "
        "key, and the bucket policy with the template; MissingKey: the query or the cookies get lost",
    )


def _listed(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",") if name.strip()}


def broken(code: str, what: str, why: str, remedy: str) -> Finding:
    """Return a finding that makes the command fail."""
    return Finding(code, Severity.BROKEN, what, why, remedy)


def warning(code: str, what: str, why: str, remedy: str) -> Finding:
    """Return a finding that makes the command fail with --strict only."""
    return Finding(code, Severity.WARNING, what, why, remedy)
