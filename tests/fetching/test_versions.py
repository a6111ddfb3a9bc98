"""One version of a source is read, or none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from image_gateway.errors import FetchFailed, SourceChanged
from tests.fetching.reading import open_with, read_all
from tests.fetching.source_server import DATE, ETAG, MODIFIED, SourceServer, response

pytestmark = pytest.mark.thorough


def test_the_date_is_the_validator_where_there_is_no_strong_etag(source: SourceServer) -> None:
    source.etag, source.modified = 'W/"weak"', MODIFIED
    source.cuts.append(10)
    with open_with(source.url()) as remote:
        assert (remote.etag, remote.validator) == (None, MODIFIED)
        head = next(remote.read_from(0))
        assert head == source.data[:10]
    source.etag = None
    source.cuts.append(10)
    assert read_all(source.url()) == source.data
    assert source.requests[-1][1]["If-Range"] == MODIFIED


def test_a_date_of_this_very_second_identifies_nothing(source: SourceServer) -> None:
    source.etag, source.modified = None, "Sat, 28 Nov 2026 11:00:00 GMT"
    with open_with(source.url()) as remote:
        assert (remote.last_modified, remote.validator) == (None, None)


@pytest.mark.parametrize("modified", ["yesterday", "", "Sat, 99 Nov 2026 10:00:00 GMT"])
def test_a_malformed_date_identifies_nothing(modified: str, source: SourceServer) -> None:
    source.etag, source.modified = None, modified
    with open_with(source.url()) as remote:
        assert remote.validator is None


def test_nothing_is_resumed_without_a_validator(source: SourceServer) -> None:
    source.etag = None
    source.cuts.append(10)
    with open_with(source.url()) as remote:
        blocks = remote.read_from(0)
        assert next(blocks) == source.data[:10]
        with pytest.raises(FetchFailed, match="must start over") as caught:
            next(blocks)
        assert caught.value.retryable
        with pytest.raises(FetchFailed, match="cannot start in the middle") as caught:
            next(remote.read_from(10))
        assert not caught.value.retryable
        assert b"".join(remote.read_from(0)) == source.data


def change_etag(source: SourceServer) -> None:
    source.etag = '"two"'


def lose_etag(source: SourceServer) -> None:
    source.etag = None


def grow(source: SourceServer) -> None:
    source.data += b"more"


@pytest.mark.parametrize("change", [change_etag, lose_etag, grow])
@pytest.mark.parametrize("ignores_ranges", [False, True])
def test_a_changed_source(
    change: Callable[[SourceServer], None], ignores_ranges: bool, source: SourceServer
) -> None:
    source.cuts.append(10)
    source.ignores_ranges = ignores_ranges
    with open_with(source.url()) as remote:
        blocks = remote.read_from(0)
        next(blocks)
        change(source)
        with pytest.raises(SourceChanged, match="was replaced while it was read") as caught:
            next(blocks)
    assert caught.value.code == "SOURCE_CHANGED"
    assert len(source.requests) == 2


def test_a_changed_date(source: SourceServer) -> None:
    source.etag, source.modified = None, MODIFIED
    source.cuts.append(10)
    with open_with(source.url()) as remote:
        blocks = remote.read_from(0)
        next(blocks)
        source.modified = "Sat, 28 Nov 2026 10:00:01 GMT"
        with pytest.raises(SourceChanged):
            next(blocks)


def test_another_version_is_not_opened(source: SourceServer) -> None:
    assert open_with(source.url(), etag=ETAG).close() is None
    source.modified = MODIFIED
    assert open_with(source.url(), etag=MODIFIED).close() is None
    for etag in ('"two"', "", "Sat, 28 Nov 2026 10:00:01 GMT"):
        with pytest.raises(SourceChanged, match="not the version that was read before"):
            open_with(source.url(), etag=etag)


def test_a_range_needs_no_date_when_the_request_had_it(source: SourceServer) -> None:
    source.etag, source.modified = None, MODIFIED
    lines = ["Content-Range: bytes 10-10239/10240", DATE, "Content-Length: 10230"]
    with open_with(source.url()) as remote:
        source.scripts.append(response(*lines, status=206, body=source.data[10:]))
        assert b"".join(remote.read_from(10)) == source.data[10:]
