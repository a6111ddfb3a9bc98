"""Whatever a read is conditioned by: the gateway, over objects in memory, answers as RFC 9110 has it."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from flask import Response
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings

from image_gateway.app import create_app
from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import DiskFacts
from image_gateway.errors import ObjectChanged, ObjectMissing
from image_gateway.protocol.ranges import ByteRange
from image_gateway.settings import load_settings
from image_gateway.storage.body import ObjectBody
from image_gateway.storage.client import StoreAddress, StoreClients
from image_gateway.storage.object_reads import ObjectInfo, OpenObject, Pin
from image_gateway.storage.objects import ObjectStore
from tests.support.databases import Databases
from tests.support.depth import depths
from tests.support.records import FREE, NOW, make_record
from tests.support.rfc9110 import Answer, Entity, right_answers
from tests.support.rfc9110_cases import Case, cases, seen

EXAMPLES = depths(40, 120)
ENTITIES = [
    Entity(bytes(number % 251 for number in range(1000)), '"d41d8cd98f00b204-7"', 1_795_374_001),
    Entity(b"sevenby", '"E"', 951_868_799),
    Entity(b"1", '"\xe9tag"', 1_795_219_200),
    Entity(b"", '"empty"', 0),
]


class MemoryStore(ObjectStore):
    """Objects in memory, tied to versions as a store does it."""

    def __init__(self) -> None:
        super().__init__(StoreClients(StoreAddress("images", "us-east-1")))
        self.objects: dict[str, Entity] = {}

    def head(self, key: str) -> ObjectInfo:
        entity = self.objects.get(key)
        if entity is None:
            raise ObjectMissing(key)
        modified = datetime.fromtimestamp(entity.modified or 0, UTC)
        return ObjectInfo(len(entity.data), entity.etag, modified, None)

    def open(self, key: str, *, byte_range: ByteRange | None = None, pin: Pin | None = None) -> OpenObject:
        info = self.head(key)
        if pin and not pin.holds_for(info):
            raise ObjectChanged(key)
        whole = self.objects[key].data
        data = whole[byte_range.start : byte_range.stop] if byte_range else whole
        return OpenObject(info, ObjectBody(io.BytesIO(data), len(data)))


class Scene:
    """A gateway over an image of each entity."""

    def __init__(self, catalog: Catalog, database_url: str, more: dict[str, str]) -> None:
        store = MemoryStore()
        self.paths: dict[Entity, str] = {}
        for entity in ENTITIES:
            record = make_record(str(uuid.uuid4()), owner="me")
            catalog.add(record, FREE)
            modified = datetime.fromtimestamp(entity.modified or 0, UTC)
            facts = DiskFacts(len(entity.data), entity.etag, modified, None)
            catalog.complete(record.image_id, "u1", facts, NOW)
            store.objects[record.location.disk_key] = entity
            self.paths[entity] = f"/v1/images/{record.image_id}/range"
        given_settings = load_settings(
            {"S3_BUCKET": "images", "AWS_REGION": "us-east-1", "DATABASE_URL": database_url, **more}
        )
        self.app = create_app(given_settings, store=store, catalog=catalog)
        self.client = FlaskClient(self.app, Response, use_cookies=False)

    def ask(self, method: str, headers: dict[str, str], entity: Entity) -> Answer:
        """Ask as it stands, not by way of the contract, which knows no odd headers."""
        response = self.client.open(self.paths[entity], method=method, headers={"X-User-Id": "me", **headers})
        with response:
            return seen(response.status_code, response.headers, response.data)


@pytest.fixture(scope="module", params=[False, True], ids=["no cache", "block cache"])
def scene(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    more = {"RANGE_CACHE_DIR": str(tmp_path_factory.mktemp("blocks"))} if request.param else {}
    url = databases.make_migrated()
    engine = open_engine(url)
    yield Scene(Catalog(engine), url, more)
    engine.dispose()
    databases.drop(url)


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: f"{len(entity.data)} bytes")
def test_any_request_is_answered_as_the_rfc_has_it(scene: Scene, entity: Entity, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(case=cases(entity))
    def check(case: Case) -> None:
        assert scene.ask(*case, entity) in right_answers(*case, entity)

    check()


@pytest.mark.parametrize(
    ("date", "is_later"),
    [
        # §5.6.7: two digits that seem to be more than 50 years ahead are of the past, others are not.
        ("Sunday, 06-Nov-94 08:49:37 GMT", False),
        ("Thursday, 01-Jan-60 00:00:00 GMT", True),
        ("Tuesday, 01-Jan-69 00:00:00 GMT", True),
        ("Tuesday, 01-Jan-75 00:00:00 GMT", True),
        # Four digits are four digits.
        ("Sat, 01 Jan 0050 00:00:00 GMT", False),
        ("Mon, 01 Jan 0001 00:00:00 GMT", False),
        ("Thu, 01 Jan 1970 00:00:00 GMT", False),
        ("Fri, 31 Dec 9999 23:59:59 GMT", True),
    ],
)
def test_years(scene: Scene, date: str, is_later: bool) -> None:
    """A date of the past is one of the past."""
    headers, status = {"If-Unmodified-Since": date}, 200 if is_later else 412
    assert {answer.status for answer in right_answers("GET", headers, ENTITIES[0])} == {status}
    assert scene.ask("GET", headers, ENTITIES[0]).status == status


def test_a_list_in_two_lines_is_one_list(scene: Scene) -> None:
    path, tag = scene.paths[ENTITIES[0]], ENTITIES[0].etag
    lines = [("X-User-Id", "me"), ("If-None-Match", '"a,b"'), ("If-None-Match", f'"c", W/{tag}')]
    with scene.client.get(path, headers=lines) as response:
        assert response.status_code == 304
