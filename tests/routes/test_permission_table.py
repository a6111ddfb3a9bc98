"""Who may do what: every role at every route, whatever state the image is in."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from image_gateway.domain.images import Visibility
from image_gateway.domain.jobs import JobKind, new_job
from image_gateway.domain.leases import Holder, HolderKind, Lease, Scope
from image_gateway.domain.shares import Permission, Share, ShareLink
from image_gateway.identity.lease_tokens import LeaseClaims, LeaseKey, LeaseTokens
from image_gateway.storage.client import StoreClients
from tests.support.clock import Clock
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.permission_table import ROLES, SIGNED_IN, STATES, VIEW_FILES, Row, expected, read_rows
from tests.support.world import OWNER, World, lasting_world

KEYS = (("k1", "1" * 40),)


@dataclass(frozen=True)
class Stage:
    """An image in one of the states, and all that lets others in."""

    image_id: str
    upload_id: str
    lease_id: str
    link_id: str
    lease_token: str
    link_token: str
    link_lease_token: str
    job_id: str

    def path(self, rule: str, role: str) -> str:
        values = {
            "image_id": self.image_id,
            "lease_id": self.lease_id,
            "link_id": self.link_id,
            "job_id": self.job_id,
            "chunk_index": "1",
            "token": self.link_lease_token if role == "link" else self.lease_token,
        }
        for names, file in VIEW_FILES.items():
            if rule.endswith(names):
                rule = rule.removesuffix(names) + file
        return re.sub(r"<(\w+)>", lambda name: values[name[1]], rule)

    def headers(self, role: str) -> dict[str, str]:
        tokens = SIGNED_IN | {"lease": self.lease_token, "link": self.link_lease_token}
        return {"Authorization": f"Bearer {tokens[role]}"} if role in tokens else {}

    def options(self, row: Row) -> dict[str, Any]:
        """The body or query of a request that nothing is wrong with."""
        ending = row.rule.rpartition("/")[2]
        if row.method == "DELETE" and ending == "shares":
            return {"query_string": {"user": "rick"}}
        bodies: dict[str, dict[str, Any]] = {
            "upload-url": {"uploadId": self.upload_id, "partNumber": 1},
            "upload-urls": {"uploadId": self.upload_id, "partNumbers": [1]},
            "complete": {"uploadId": self.upload_id},
            "shares": {"user": "newcomer"},
            "import": {"url": "https://example.org/disk.img"},
            "empty": {"sizeBytes": 512},
            "redeem": {"token": self.link_token},
            "leases": {
                "imageId": self.image_id,
                "scopes": ["disk:write"] if row.action == "write" else ["disk:read"],
            },
        }
        if row.method == "PATCH":
            return {"json": {"name": "renamed"}}
        return {"json": bodies[ending]} if row.method == "POST" and ending in bodies else {}


def set_up(world: World, state: str) -> Stage:
    """Bring a new image into a state, past the services, so that what cannot be is there as well."""
    image_id, upload_id = _image_in(world, state)
    catalog, now = world.catalog, Clock().at()
    for user, permission in (("wendy", Permission.WRITE), ("rick", Permission.READ)):
        catalog.shares.share(Share(image_id, user, permission, now))
    link_id, link_token = str(uuid.uuid4()), f"igs_{uuid.uuid4()}"
    link = ShareLink(link_id, image_id, now, expires_at=None, max_uses=None)
    catalog.shares.add_link(link, hashlib.sha256(link_token.encode()).hexdigest())
    visibility = Visibility(state) if state in ("private", "public") else Visibility.SHARED
    catalog.describe(image_id, name=None, visibility=visibility, revision=None, now=now)
    lease_id, lease_token = _lease(world, image_id, Holder(HolderKind.USER, OWNER))
    _, link_lease_token = _lease(world, image_id, Holder(HolderKind.LINK, link_id))
    if state == "failed":
        assert catalog.fail(image_id, upload_id, now)
    if state == "deleted":
        assert catalog.delete(image_id, now)
    job = catalog.jobs.add(new_job(image_id, JobKind.VERIFY, now))
    return Stage(
        image_id, upload_id, lease_id, link_id, lease_token, link_token, link_lease_token, job.job_id
    )


def _image_in(world: World, state: str) -> tuple[str, str]:
    if state in ("uploading", "failed"):
        image_id, upload_id = world.begin()
        world.put_part(image_id, upload_id, 1, b"x")
        return image_id, upload_id
    image = world.make_image(bytes(1024))
    world.publish(image, 512)
    return image.image_id, image.upload_id


def _lease(world: World, image_id: str, holder: Holder) -> tuple[str, str]:
    record, clock = world.catalog.find(image_id), Clock()
    assert record is not None
    lease = Lease(
        lease_id=str(uuid.uuid4()),
        image_id=image_id,
        version=record.version,
        scopes=frozenset({Scope.DISK_READ}),
        holder=holder,
        created_at=clock.at(),
        ttl_seconds=600,
        expires_at=clock.at(600),
        session_ends_at=clock.at(3600),
    )
    world.catalog.leases.add(lease)
    end = int(lease.session_ends_at.timestamp())
    claims = LeaseClaims(lease.lease_id, image_id, record.version, (Scope.DISK_READ.value,), end)
    return lease.lease_id, LeaseTokens([LeaseKey(*KEYS[0])]).sign(claims)


@dataclass
class Theatre:
    """Gateways over one catalog, and an image for each state.

    `plain` believes who one says to be, and sets the stage; the others have a provider, one hides images.
    """

    plain: World
    signed_in: World
    hiding: World
    stages: dict[str, Stage]
    # What was held against the contract: once for each status is enough, as it is slow.
    held: set[tuple[Row, int]] = field(default_factory=set)

    def ask(self, row: Row, role: str, state: str) -> int:
        stage = self.stages[state]
        world = self.hiding if role == "hidden" else self.signed_in
        path, headers = stage.path(row.rule, role), stage.headers(role)
        client = FlaskClient(world.app, Response)
        response = client.open(path, method=row.method, headers=headers, buffered=True, **stage.options(row))
        if (row, response.status_code) not in self.held:
            self.held.add((row, response.status_code))
            world.checker.check(response)
        if row.method == "GET":
            head = client.head(path, headers=headers, buffered=True)
            assert (head.status_code, head.data) == (response.status_code, b"")
        if row.changes and response.status_code == 200:
            self.stages[state] = set_up(self.plain, state)
        return response.status_code


def as_rows(statuses: Callable[[str, str], int]) -> list[str]:
    """The statuses of all roles in all states, one line for each role."""
    return [f"{role:9}" + " ".join(str(statuses(role, state)) for state in STATES) for role in ROLES]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(False, id="asked", marks=pytest.mark.database),
        pytest.param(True, id="remembered"),
    ],
)
def theatre(
    request: pytest.FixtureRequest,
    databases: Databases,
    checker: ContractChecker,
    moto_clients: StoreClients,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Theatre]:
    """Where access and blocks are remembered, nobody gets what only another one may."""
    blocks = str(tmp_path_factory.mktemp("blocks"))
    remembering = {"access_cache_seconds": 60, "range_cache_dir": blocks} if request.param else {}
    with lasting_world(databases, checker, moto_clients) as world:
        plain = world.with_settings(rate_limits=False, lease_keys=KEYS, **remembering)
        hiding = plain.with_provider(hide_foreign_images=True)
        stages = {state: set_up(plain, state) for state in STATES}
        yield Theatre(plain, plain.with_provider(), hiding, stages)


@pytest.mark.parametrize("row", read_rows(), ids=str)
def test_who_may_do_what(theatre: Theatre, row: Row) -> None:
    got = as_rows(lambda role, state: theatre.ask(row, role, state))
    assert got == as_rows(lambda role, state: expected(row, role, state))


def without_row(app: Flask) -> set[tuple[str, str]]:
    routes = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}
        # The console's files are the same for everybody: tests/routes/test_console.py.
        if not rule.endpoint.startswith("console.")
    }
    return routes - {(row.method, row.rule) for row in read_rows()}


def test_every_route_has_a_row(theatre: Theatre) -> None:
    assert without_row(theatre.plain.app) == set()


def test_a_route_without_a_row_would_be_noticed(theatre: Theatre) -> None:
    app = theatre.plain.with_settings().app
    app.add_url_rule("/v1/images/<image_id>/planted", view_func=lambda image_id: Response(), methods=["POST"])
    assert without_row(app) == {("POST", "/v1/images/<image_id>/planted")}


def shown(world: World, row: Row, stage: Stage, headers: dict[str, str]) -> tuple[int, bytes, list[Any]]:
    """All of an answer but the request's id."""
    response = FlaskClient(world.app, Response).open(
        stage.path(row.rule, "stranger"), method=row.method, headers=headers, **stage.options(row)
    )
    kept = sorted((name, value) for name, value in response.headers if name != "X-Request-Id")
    return response.status_code, response.data, kept


BY_IMAGE = [row for row in read_rows() if "<image_id>" in row.rule or row.rule == "/v1/leases"]
BY_LEASE = [row for row in read_rows() if "<lease_id>" in row.rule]


@pytest.mark.parametrize("row", BY_IMAGE, ids=str)
@pytest.mark.parametrize(("role", "status"), [("hidden", 404), ("nobody", 401)])
def test_an_image_of_others_looks_like_none(theatre: Theatre, row: Row, role: str, status: int) -> None:
    world = theatre.hiding if role == "hidden" else theatre.signed_in
    for state in set(STATES) - {"public"}:
        stage = theatre.stages[state]
        unknown, headers = replace(stage, image_id=str(uuid.uuid4())), stage.headers(role)
        answer = shown(world, row, stage, headers)
        assert answer[0] == status
        assert answer == shown(world, row, unknown, headers)


@pytest.mark.parametrize("row", BY_LEASE, ids=str)
@pytest.mark.parametrize(("role", "status"), [("stranger", 404), ("nobody", 401), ("link", 404)])
def test_a_lease_of_others_looks_like_none(theatre: Theatre, row: Row, role: str, status: int) -> None:
    stage = theatre.stages["shared"]
    unknown, headers = replace(stage, lease_id=str(uuid.uuid4())), stage.headers(role)
    answer = shown(theatre.signed_in, row, stage, headers)
    assert answer[0] == status
    assert answer == shown(theatre.signed_in, row, unknown, headers)
