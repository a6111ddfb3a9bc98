"""Who may do what: every role at every route, whatever state the image is in."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask import Flask, Response

from image_gateway.storage.client import StoreClients
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.permission_stage import KEYS, Theatre, set_up, shown
from tests.support.permission_table import ROLES, STATES, Row, expected, read_rows
from tests.support.world import lasting_world


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


BY_IMAGE = [
    row
    for row in read_rows()
    if "<image_id>" in row.rule
    or (row.rule == "/v1/leases" and row.action != "delta-read")
    or row.action == "delta-make"
]
BY_DELTA = [row for row in read_rows() if row.action.startswith("delta-") and row not in BY_IMAGE]
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


@pytest.mark.parametrize("row", BY_DELTA, ids=str)
@pytest.mark.parametrize(("role", "status"), [("hidden", 404), ("nobody", 401)])
def test_a_delta_of_others_looks_like_none(theatre: Theatre, row: Row, role: str, status: int) -> None:
    world = theatre.hiding if role == "hidden" else theatre.signed_in
    # Who has no session is refused before anything is looked up.
    expected_status = 403 if row.action == "delta-commit" and role == "hidden" else status
    for state in STATES:
        stage = theatre.stages[state]
        unknown, headers = replace(stage, delta_id=str(uuid.uuid4())), stage.headers(role)
        answer = shown(world, row, stage, headers)
        assert answer[0] == expected_status
        assert answer == shown(world, row, unknown, headers)
