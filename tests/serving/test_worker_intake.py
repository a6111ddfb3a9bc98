"""When a request is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.serving.intake import MAX_BODY, MAX_HEAD, Intake, Progress

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("data", "progress"),
    [
        (b"", Progress.MORE),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", Progress.MORE),
        (GET, Progress.WHOLE),
        (b"\r\n" + GET, Progress.WHOLE),
        (GET + GET[:5], Progress.WHOLE),
        (b"GET / HTTP/1.1\n", Progress.PART),
        (b"GET /" + b"x" * MAX_HEAD, Progress.TOO_LONG),
        (POST + b"Content-Length: 3\r\n\r\nab", Progress.MORE),
        (POST + b"content-length:3 \r\n\r\nabc", Progress.WHOLE),
        (POST + b"Content-Length: many\r\n\r\n", Progress.PART),
        (POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n", Progress.PART),
        (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", Progress.PART),
        (POST + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1), Progress.PART),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", Progress.MORE),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", Progress.MORE),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n", Progress.WHOLE),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n", Progress.MORE),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n", Progress.WHOLE),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", Progress.PART),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", Progress.PART),
    ],
)
def test_the_end_of_a_request(data: bytes, progress: Progress) -> None:
    assert Intake().add(data) is progress


@given(
    st.sampled_from(
        [
            GET,
            POST + b"Content-Length: 5\r\n\r\n12345",
            POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\na\r\n\r\n4\r\n\r\n\r\n\r\n0\r\nA: b\r\n\r\n",
        ]
    ),
    st.data(),
)
def test_pieces_of_any_size_end_where_the_whole_does(request: bytes, data: st.DataObject) -> None:
    intake, position = Intake(), 0
    while position < len(request):
        size = data.draw(st.integers(1, len(request) - position))
        progress = intake.add(request[position : position + size])
        position += size
        assert (progress is Progress.WHOLE) == (position == len(request))
    assert intake.take() == request
    assert intake.add(GET) is Progress.WHOLE


def test_who_waits_to_be_asked_for_the_body_is_noticed() -> None:
    intake = Intake()
    intake.add(POST + b"Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n")
    assert intake.wants_continue
