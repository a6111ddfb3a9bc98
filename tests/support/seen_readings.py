"""What real clients made of file servers with one fault each; docs/how-to/checking-urls.md shows it.

The key None is the right server, the value None says that a client did not read it. Only `make test-all`
reads what is in the tables whose names begin with MORE.
"""

from __future__ import annotations

from tests.support.reader_clients import Reading

R, W, F = Reading.RIGHT, Reading.WRONG, Reading.FAILED
PROGRAMS = ("curl -r", "curl -C -", "aria2c -c", "qemu-img convert")
SEEN_BY_PROGRAMS = {
    None: (R, R, R, R),
    "no-ranges": (W, F, F, W),
    "no-ranges (http.server)": (W, F, F, F),
    "range-wrong-bytes": (W, W, W, W),
    "range-chunked": (R, R, F, R),
    "content-range-missing": (R, F, F, R),
    "content-range-wrong": (R, R, F, R),
    "content-range-unknown-total": (R, R, F, R),
    "accept-ranges-missing": (R, R, R, F),
    "head-refused": (R, R, R, F),
    "head-length-missing": (R, R, R, F),
    "head-length-differs": (R, R, R, W),
    "size-unknown": (R, R, W, F),
    "body-shorter": (F, F, F, F),
    "not-an-image": (W, F, W, F),
    "redirect": (R, R, R, R),
}
MORE_SEEN_BY_PROGRAMS = {
    "range-length-wrong": (W, W, F, F),
    "suffix-range-wrong": (R, R, R, R),
    "range-beyond-end-not-416": (R, R, R, R),
    "range-not-clipped": (R, R, R, R),
    "multiple-ranges-wrong": (R, R, R, R),
    "accept-ranges-none": (R, R, R, F),
    "head-headers-differ": (R, R, R, R),
    "head-has-body": (R, R, R, R),
    "size-unknown (of a GET)": (R, R, W, F),
    "content-encoding": (R, R, R, R),
    "content-encoding-identity": (R, R, R, R),
    "etag-missing": (R, R, R, R),
    "etag-unstable": (R, R, R, R),
    "if-range-ignored": (R, R, R, R),
    "cors-origin-missing": (R, R, R, R),
    "status": (F, F, F, F),
    "redirect-loop": (F, F, F, F),
}
PAGES = ("v86", "sqljs", "browser")
SEEN_BY_PAGES = {
    None: (R, R, R),
    "no-ranges": (F, F, F),
    "range-wrong-bytes": (W, F, W),
    "content-range-missing": (F, R, R),
    "head-length-differs": (R, F, R),
    "content-encoding": (R, F, R),
    "preflight-refused": (F, R, F),
    "cors-not-exposed": (F, R, R),
}
MORE_SEEN_BY_PAGES: dict[str, tuple[Reading | None, ...]] = {
    "content-range-wrong": (None, R, F),
    "content-range-unknown-total": (F, R, R),
    "range-chunked": (R, R, R),
    "accept-ranges-missing": (None, R, R),
    "head-refused": (None, F, R),
    "head-length-missing": (None, F, R),
    "size-unknown": (F, F, R),
    "size-unknown (of a GET)": (R, F, R),
    "body-shorter": (F, F, F),
    "content-encoding-identity": (None, R, R),
    "not-an-image": (F, F, F),
    "status": (F, F, F),
    "etag-missing": (None, R, R),
    "etag-weak": (None, R, R),
    "etag-unstable": (None, R, R),
    "preflight-header-missing": (F, R, F),
    "preflight-origin-missing": (F, R, F),
    "cors-origin-missing": (F, F, F),
    "cors-origin-wrong": (F, F, F),
    "cors-credentials-wildcard": (R, R, R),
    "corp-missing": (None, R, R),
    "redirect": (R, R, R),
    "redirect-loop": (F, F, F),
}
# v86 by parts, each of them a whole file.
SEEN_BY_V86_PARTS = {
    None: R,
    "no-ranges": R,
    "head-refused": R,
    "size-unknown (of a GET)": R,
    "content-encoding": R,
    "content-encoding-identity": R,
    "preflight-refused": R,
    "cors-not-exposed": R,
    "cors-origin-missing": F,
    "redirect": R,
    "chunk-missing": F,
}


def readings_that_fail() -> dict[str, tuple[Reading | None, ...]]:
    """What the programs, then the pages, made of each fault that one of them could not read."""
    by_programs = {**SEEN_BY_PROGRAMS, **MORE_SEEN_BY_PROGRAMS}
    by_pages = {**SEEN_BY_PAGES, **MORE_SEEN_BY_PAGES}
    nothing = (None,) * len(PROGRAMS), (None,) * len(PAGES)
    faults = [fault for fault in {**by_programs, **by_pages} if fault is not None]
    both = {
        fault: (*by_programs.get(fault, nothing[0]), *by_pages.get(fault, nothing[1])) for fault in faults
    }
    return {fault: row for fault, row in both.items() if not {*row} <= {None, R}}
