"""Checks how the store answers reads: ranges, validators, conditional requests, and unchanged bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from image_gateway.doctor.store_failures import busy_finding, unexpected_finding
from image_gateway.doctor.store_rights import ProbeObject
from image_gateway.doctor.store_target import Findings, Skip, StoreTarget, run_check
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.protocol.parts import MIN_PART_SIZE
from image_gateway.storage.probe import Answer

_OTHER_ETAG = '"00000000000000000000000000000000"'
_DIRECT_READERS = ("readers behind CloudFront",)


class ReadChecks:
    """Reads objects by presigned URLs, as the gateway does.

    Args:
        probed: Is read in ranges.
        small: Is read as a whole.
    """

    def __init__(self, target: StoreTarget, probed: ProbeObject, small: ProbeObject) -> None:
        self._target = target
        self._object = probed
        self._small = small
        self._etags: set[str] = {probed.etag} - {""}

    def run(self) -> Iterator[Check]:
        """Yield the checks."""
        checks: dict[str, Callable[[StoreTarget], Findings]] = {
            "ranges": self._ranges,
            "a suffix range": self._suffix,
            "a range beyond the end": self._beyond,
            "ETag, Last-Modified and Content-Length": self._validators,
            "If-Match and If-Unmodified-Since": self._conditions,
            "the bytes arrive as they are": self._unchanged,
        }
        for name, check in checks.items():
            yield run_check(self._target, name, check)

    def _get(self, **headers: str) -> Answer:
        """Read by a presigned URL; the names of headers have underscores instead of hyphens."""
        answer = self._send(self._object, headers)
        if answer.status in (200, 206) and "etag" in answer.headers:
            self._etags.add(answer.headers["etag"])
        return answer

    def _send(self, probed: ProbeObject, headers: Mapping[str, str]) -> Answer:
        url = self._target.probe.presign("get_object", Key=probed.key)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._target.probe.send("GET", url, headers=named)

    def _ranges(self, target: StoreTarget) -> Findings:
        size = self._object.size
        # Across the border of two parts, where the object has one.
        middle = MIN_PART_SIZE - 100 if size > MIN_PART_SIZE else size // 2
        wanted = [(0, 0), (middle, min(middle + 199, size - 1)), (size - 1, size - 1)]
        for first, last in wanted:
            answer = self._get(Range=f"bytes={first}-{last}")
            problem = self._range_problem(answer, first, last)
            if problem is not None:
                yield _refusal(answer, "a GET with Range") or Finding(
                    "store-range",
                    Severity.BROKEN,
                    f"Range: bytes={first}-{last} of {size} bytes {problem}",
                    "Every read of an image is a range (RFC 9110 §14); the gateway refuses such answers "
                    "(502 S3_ERROR).",
                    "use a store that supports Range, and remove proxies that change it",
                )
                return ""
        return ", ".join(f"{first}-{last}" for first, last in wanted)

    def _suffix(self, target: StoreTarget) -> Findings:
        size = self._object.size
        length = min(10, size)
        answer = self._get(Range=f"bytes=-{length}")
        problem = self._range_problem(answer, size - length, size - 1)
        if problem is not None:
            yield _refusal(answer, "a GET with Range") or Finding(
                "store-suffix-range",
                Severity.WARNING,
                f"Range: bytes=-{length} of {size} bytes {problem}",
                "The gateway sends no suffix ranges (RFC 9110 §14.1.2), but readers that reach the store "
                "by another way may.",
                "nothing, if all reads go through the gateway",
                _DIRECT_READERS,
            )
        return f"the last {length} bytes"

    def _beyond(self, target: StoreTarget) -> Findings:
        size = self._object.size
        answer = self._get(Range=f"bytes={size}-{size + 9}")
        if answer.status != 416:
            yield Finding(
                "store-range-beyond",
                Severity.WARNING,
                f"a range that begins at the end was answered {answer.shown}, not 416",
                "Readers would take the answer for data (RFC 9110 §15.5.17). The gateway itself answers 416 "
                "from the size it knows.",
                "nothing, if all reads go through the gateway",
                _DIRECT_READERS,
            )
        return answer.shown

    def _range_problem(self, answer: Answer, first: int, last: int) -> str | None:
        """Return what is wrong with the answer to a range, as the end of a sentence."""
        if answer.status != 206:
            return f"was answered {answer.shown}, not 206"
        expected = f"bytes {first}-{last}/{self._object.size}"
        found = answer.headers.get("content-range")
        if found != expected:
            return f"was answered with Content-Range {found!r}, not {expected!r}"
        length = answer.headers.get("content-length")
        if length != str(last - first + 1) or len(answer.body) != last - first + 1:
            return f"was answered with Content-Length {length} and {len(answer.body)} bytes"
        data = self._object.data
        if data is not None and answer.body != data[first : last + 1]:
            return "was answered with wrong bytes"
        return None

    def _validators(self, target: StoreTarget) -> Findings:
        head = target.probe.call("head_object", Key=self._object.key)
        answer = self._get(Range="bytes=0-0")
        answers = {"HeadObject": head, "GetObject": answer}
        refused = [_refusal(given, name) for name, given in answers.items() if not given.ok]
        if refused:
            yield from filter(None, refused)
            return ""
        for header in ("etag", "last-modified", "content-length"):
            missing = [name for name, given in answers.items() if not given.headers.get(header)]
            if missing:
                yield Finding(
                    "store-header-missing",
                    Severity.BROKEN,
                    f"{' and '.join(missing)} is answered without {header}",
                    "Each read is tied to one version of an image by these; the gateway refuses answers "
                    "without them (502 S3_ERROR).",
                    "remove proxies that strip headers, or use a store that sends them",
                )
        self._etags.add(head.headers.get("etag", ""))
        found = sorted(self._etags - {""})
        if len(found) > 1:
            yield Finding(
                "store-etag-unstable",
                Severity.BROKEN,
                f"one object has several ETags: {', '.join(found)[:200]}",
                "The gateway takes an object with another ETag for a changed image and ends its reads.",
                "remove proxies that change ETag, such as those that compress, or use another store",
            )
        return ", ".join(found)

    def _conditions(self, target: StoreTarget) -> Findings:
        etag = self._get(Range="bytes=0-0").headers.get("etag")
        if etag is None:
            raise Skip("the store sends no ETag")
        right = self._get(Range="bytes=0-0", If_Match=etag)
        if right.status not in (200, 206):
            yield _refusal(right, "a GET with If-Match") or Finding(
                "store-if-match-refused",
                Severity.BROKEN,
                f"If-Match with the object's own ETag was answered {right.shown}",
                "Every read after the first sends If-Match (RFC 9110 §13.1.1), so images cannot be read.",
                "remove proxies that change ETag or If-Match, or use another store",
            )
        ignored = [
            (header, answer.shown)
            for header, answer in (
                ("If-Match", self._get(Range="bytes=0-0", If_Match=_OTHER_ETAG)),
                (
                    "If-Unmodified-Since",
                    self._get(Range="bytes=0-0", If_Unmodified_Since="Sat, 01 Jan 2000 00:00:00 GMT"),
                ),
            )
            if answer.status != 412
        ]
        if ignored:
            seen = ", ".join(f"{header} was answered {shown}" for header, shown in ignored)
            yield Finding(
                "store-condition-ignored",
                Severity.WARNING,
                f"a condition that does not hold is not answered 412: {seen}",
                "A changed object is then found by comparing the answer's ETag, after the store has begun "
                "to send (RFC 9110 §13.1).",
                "nothing; with such a store never replace objects of images by other tools",
            )
        return "412 for another version"

    def _unchanged(self, target: StoreTarget) -> Findings:
        plain = self._send(self._small, {})
        compressed = self._send(self._small, {"Accept-Encoding": "gzip, br"})
        data = self._small.data
        for answer, asked in ((plain, "without"), (compressed, "with")):
            encoding = answer.headers.get("content-encoding", "identity")
            is_encoded = encoding not in ("", "identity")
            if answer.ok and (is_encoded or (data is not None and answer.body != data)):
                what = f"Content-Encoding: {encoding}" if is_encoded else "other bytes than were written"
                yield Finding(
                    "store-transformed",
                    Severity.BROKEN if answer is plain else Severity.WARNING,
                    f"a read {asked} Accept-Encoding was answered with {what}",
                    "Offsets into an image are offsets of its stored bytes: a compressed or changed body is "
                    "useless to readers.",
                    "turn off compression and other transformations in the proxy before the store",
                )
            elif answer.ok and "content-length" not in answer.headers:
                yield Finding(
                    "store-no-length",
                    Severity.BROKEN,
                    f"a read {asked} Accept-Encoding was answered without Content-Length",
                    "A body that was cut off could not be told from a whole one (RFC 9112 §6.3); the gateway "
                    "refuses such answers (502 S3_ERROR).",
                    "turn off chunked transfer and compression in the proxy before the store",
                )
        return f"{self._small.size} bytes" if data is not None else "no Content-Encoding"


def _refusal(answer: Answer, what: str) -> Finding | None:
    """Return the finding for an error that is not about what was tried."""
    if answer.is_busy:
        return busy_finding(answer, "the store")
    return unexpected_finding(answer, what) if answer.status in (400, 401, 403, 404) else None
