"""The server that the faults are built on is right: held against the RFC's model, and over real HTTP."""

from __future__ import annotations

import calendar

from hypothesis import HealthCheck, given, settings

from tests.support.range_server import MODIFIED, RangeServer, Request
from tests.support.rfc9110 import Entity, right_answers
from tests.support.rfc9110_cases import Case, cases, seen
from tests.support.static_image import DATA, make_image

SERVER = RangeServer(make_image())
ETAG = SERVER.respond(Request("HEAD", "/disk.img")).headers["ETag"]
ENTITY = Entity(DATA, ETAG, calendar.timegm(MODIFIED.timetuple()))


@settings(
    max_examples=100, derandomize=True, database=None, suppress_health_check=[HealthCheck.data_too_large]
)
@given(case=cases(ENTITY, overlong=False))
def test_any_request_is_answered_as_the_rfc_has_it(case: Case) -> None:
    method, headers = case
    given = {name.lower(): value.strip(" \t") for name, value in headers.items()}
    response = SERVER.right(Request(method, "/disk.img", given))
    answer = seen(response.status, response.headers, response.body)
    assert answer in right_answers(method, headers, ENTITY), case
