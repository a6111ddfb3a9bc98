"""The same requests as in tests/routes/test_rfc9110_fuzz.py, over real HTTP and a real store."""

from __future__ import annotations

import http.client
import random
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway
from tests.live.support import entity_of
from tests.support.depth import depths
from tests.support.rfc9110 import Answer, Entity, right_answers
from tests.support.rfc9110_cases import Case, cases, seen

EXAMPLES = depths(50, 120)
DATA = random.Random(9110).randbytes(5000)
USER = f"user-{uuid.uuid4()}"


@pytest.fixture(scope="module")
def image_id(gateway: LocalGateway, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("image") / "disk.img"
    path.write_bytes(DATA)
    return upload_file(GatewayClient(gateway.url, USER), path, parallel=1, on_bytes=lambda _: None).image_id


@pytest.fixture(scope="module")
def entity(environment: dict[str, str], image_id: str) -> Entity:
    return entity_of(environment["DATABASE_URL"], image_id, DATA)


@pytest.fixture(scope="module")
def connection(gateway: LocalGateway) -> Iterator[http.client.HTTPConnection]:
    address = urlsplit(gateway.url)
    kept = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    yield kept
    kept.close()


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_request_is_answered_as_the_rfc_has_it(
    connection: http.client.HTTPConnection, image_id: str, entity: Entity, examples: int
) -> None:
    def ask(method: str, headers: dict[str, str]) -> Answer:
        connection.request(method, f"/v1/images/{image_id}/range", headers={"X-User-Id": USER, **headers})
        with connection.getresponse() as response:
            return seen(response.status, response.headers, response.read())

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(case=cases(entity, overlong=False))
    def check(case: Case) -> None:
        method, headers = case
        # White space around a field is not part of it, and HTTP takes it away.
        stripped = {name: value.strip(" \t") for name, value in headers.items()}
        assert ask(method, headers) in right_answers(method, stripped, entity)

    check()
