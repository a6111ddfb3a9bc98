"""Routes of sessions, maps, logs, snapshots and resets of deltas."""

from __future__ import annotations

import pytest

from image_gateway.protocol.deltas.segment import Extent, encode_segment
from tests.support.delta_api import BLOCK, DeltaApi, error_of
from tests.support.world import World

pytestmark = pytest.mark.database
UNKNOWN = "00000000-0000-4000-8000-00000000dead"


def test_a_session_has_all_that_a_writer_needs(delta: DeltaApi) -> None:
    answer = delta.ask("POST", "/sessions")
    session = answer.get_json()
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    assert (session["deltaId"], session["imageId"]) == (delta.delta_id, delta.image.image_id)
    assert (session["epoch"], session["generation"], session["blockSize"]) == (2, 0, BLOCK)
    assert session["sizeBytes"] == len(delta.image.data)
    assert session["scopes"] == ["disk:read", "disk:write"]
    root = f"http://localhost/v1/l/{session['token']}"
    assert session["url"] == f"{root}/disk.img"
    assert session["views"]["raw"] == {"url": f"{root}/raw/disk.img"}
    assert session["views"]["v86"]["size"] == len(delta.image.data)


def test_a_session_is_renewed_and_ended_like_a_lease(delta: DeltaApi) -> None:
    session = delta.done("POST", "/sessions", 201, json={"ttlSeconds": 60})
    path = f"/v1/leases/{session['leaseId']}"
    renewed = delta.world.bearing(session["token"], "POST", f"{path}/renew").get_json()
    assert (renewed["token"], renewed["url"]) == (session["token"], session["url"])
    assert renewed["deltaId"] == delta.delta_id
    assert not {"generation", "manifestUrl", "chunked"} & renewed.keys()
    assert delta.world.bearing(session["token"], "DELETE", path).get_json() == {"ok": True}
    ended = delta.world.bearing(session["token"], "POST", f"{path}/renew")
    assert error_of(ended) == (403, "LEASE_REVOKED")


@pytest.mark.parametrize("ttl", [0, -1, 1.5, "60", True, 10**30])
def test_a_bad_lifetime_opens_no_session(delta: DeltaApi, ttl: object) -> None:
    assert error_of(delta.ask("POST", "/sessions", json={"ttlSeconds": ttl})) == (400, "BAD_REQUEST")
    assert delta.done("GET")["epoch"] == 1


def test_only_the_owner_opens_sessions(delta: DeltaApi) -> None:
    delta.world.share_with(delta.image, "wendy", "write")
    for user in ("wendy", "bob"):
        assert error_of(delta.ask("POST", "/sessions", user=user)) == (403, "FORBIDDEN")
    assert error_of(delta.ask("POST", "/sessions", user=None)) == (401, "UNAUTH")
    by_session = delta.world.bearing(delta.token, "POST", f"{delta.path}/sessions")
    assert error_of(by_session) == (403, "FORBIDDEN")
    assert delta.done("GET")["epoch"] == 1


def test_sessions_are_limited(delta: DeltaApi) -> None:
    limited = delta.world.with_settings(rate_limits=True, rate_limit_leases="1/minute")
    codes = [limited.request("POST", f"{delta.path}/sessions").status_code for _ in range(2)]
    assert codes == [201, 429]


def test_a_map_has_runs_in_order(delta: DeltaApi) -> None:
    extents = [Extent(0, 2, b"a" * 2 * BLOCK), Extent(2, 3, None), Extent(9, 1, b"b" * BLOCK)]
    assert delta.commit(encode_segment(BLOCK, extents), 0).status_code == 200
    assert delta.write(5) == 2
    answer = delta.ask("GET", "/map")
    assert answer.headers["ETag"] == '"2"'
    assert answer.get_json() == {
        "deltaId": delta.delta_id,
        "generation": 2,
        "blockSize": BLOCK,
        "since": 0,
        "runs": [[0, 2, "data"], [2, 3, "zero"], [5, 1, "data"], [9, 1, "data"]],
    }
    assert delta.done("GET", "/map?since=1")["runs"] == [[5, 1, "data"]]
    assert delta.done("GET", "/map?since=2")["runs"] == []
    assert delta.done("GET", "/map?from=3")["runs"] == [[3, 2, "zero"], [5, 1, "data"], [9, 1, "data"]]
    assert delta.done("GET", f"/map?from={10**17}")["runs"] == []


def test_a_map_comes_in_pages(delta: DeltaApi) -> None:
    delta.write(1, 3, 4, 9)
    first = delta.done("GET", "/map?limit=2")
    assert (first["runs"], first["next"]) == ([[1, 1, "data"], [3, 2, "data"]], 9)
    second = delta.done("GET", f"/map?limit=2&from={first['next']}")
    assert (second["runs"], "next" in second) == ([[9, 1, "data"]], False)


def test_since_holds_up_to_a_reset(delta: DeltaApi) -> None:
    delta.write(1, 2)
    delta.done("POST", "/reset", json={"generation": 1})
    shown = delta.done("GET", "/map?since=2")
    assert (shown["generation"], shown["since"], shown["runs"]) == (3, 0, [[1, 1, "data"]])
    delta.open_session()
    delta.write(7)
    shown = delta.done("GET", "/map?since=3")
    assert (shown["since"], shown["runs"]) == (3, [[7, 1, "data"]])
    beyond = delta.done("GET", "/map?since=99")
    assert (beyond["since"], beyond["runs"]) == (0, [[1, 1, "data"], [7, 1, "data"]])


@pytest.mark.parametrize("query", ["since=-1", "since=x", "from=-1", "limit=0", "limit=10001", "from=1e3"])
def test_a_bad_query_of_a_map(delta: DeltaApi, query: str) -> None:
    assert error_of(delta.ask("GET", f"/map?{query}")) == (400, "BAD_REQUEST")


def test_a_lease_shows_the_map_of_its_own_generation(delta: DeltaApi) -> None:
    delta.write(1)
    body = {"deltaId": delta.delta_id, "generation": 1}
    fixed = delta.world.request("POST", "/v1/leases", json=body).get_json()
    delta.write(2)
    by_lease = delta.world.bearing(fixed["token"], "GET", f"{delta.path}/map").get_json()
    assert (by_lease["generation"], by_lease["runs"]) == (1, [[1, 1, "data"]])
    by_session = delta.world.bearing(delta.token, "GET", f"{delta.path}/map").get_json()
    assert (by_session["generation"], by_session["runs"]) == (2, [[1, 2, "data"]])
    for user, expected in (("bob", (403, "FORBIDDEN")), (None, (401, "UNAUTH"))):
        assert error_of(delta.ask("GET", "/map", user=user)) == expected


def test_the_log_of_commits(delta: DeltaApi) -> None:
    delta.write(1, 2, 3)
    delta.done("POST", "/reset", json={"generation": 1})
    first = delta.done("GET", "/commits?limit=3")
    assert [commit["generation"] for commit in first["commits"]] == [4, 3, 2]
    assert [commit["epoch"] for commit in first["commits"]] == [2, 1, 1]
    assert [commit["blocks"] for commit in first["commits"]] == [0, 1, 1]
    second = delta.done("GET", f"/commits?limit=3&cursor={first['nextCursor']}")
    assert [commit["generation"] for commit in second["commits"]] == [1]
    assert "nextCursor" not in second
    for query in ("limit=0", "cursor=x", "cursor=MjAyNi0xMS0yMlQxOTowMDowMCswMDowMHx4"):
        assert error_of(delta.ask("GET", f"/commits?{query}")) == (400, "BAD_REQUEST")
    assert error_of(delta.ask("GET", "/commits", user="bob")) == (403, "FORBIDDEN")


def test_snapshots_keep_generations(delta: DeltaApi) -> None:
    delta.write(1, 2)
    newest = delta.done("POST", "/snapshots", 201, json={"name": "two"})
    older = delta.done("POST", "/snapshots", 201, json={"name": "one", "generation": 1})
    assert (newest["generation"], newest["name"], older["generation"]) == (2, "two", 1)
    assert delta.done("GET", "/snapshots") == {"snapshots": [newest, older]}
    path = f"/snapshots/{newest['snapshotId'].upper()}"
    assert delta.done("DELETE", path) == {"ok": True}
    assert error_of(delta.ask("DELETE", path)) == (404, "NOT_FOUND")
    assert delta.done("GET", "/snapshots") == {"snapshots": [older]}
    for body in ({}, {"name": ""}, {"name": "x", "generation": -1}, {"name": "x", "generation": "1"}):
        assert error_of(delta.ask("POST", "/snapshots", json=body)) == (400, "BAD_REQUEST")
    beyond = delta.ask("POST", "/snapshots", json={"name": "x", "generation": 3})
    assert error_of(beyond) == (404, "NOT_FOUND")


def test_a_reset_is_a_new_generation(delta: DeltaApi) -> None:
    delta.write(1, 2)
    answer = delta.ask("POST", "/reset", json={"generation": 0})
    record = answer.get_json()
    assert (record["generation"], record["epoch"], answer.headers["ETag"]) == (3, 2, '"3"')
    assert delta.done("GET", "/map")["runs"] == []
    for body in ({}, {"generation": None}, {"generation": -1}, {"generation": "0"}):
        assert error_of(delta.ask("POST", "/reset", json=body)) == (400, "BAD_REQUEST")
    assert error_of(delta.ask("POST", "/reset", json={"generation": 9})) == (404, "NOT_FOUND")
    # Before the checkpoint that the reset wrote.
    gone = delta.ask("POST", "/reset", json={"generation": 1})
    assert error_of(gone) == (404, "NOT_FOUND")
    assert "no longer kept" in gone.get_json()["error"]["message"]
    assert delta.done("GET")["generation"] == 3


def test_a_fork_has_no_generation_of_its_base(world: World, delta: DeltaApi) -> None:
    delta.write(1)
    made = world.request("POST", "/v1/deltas", json={"fromDelta": delta.delta_id}).get_json()
    fork = DeltaApi(world, delta.image, made["deltaId"])
    fork.open_session()
    fork.write(2)
    fork.done("POST", "/reset", json={"generation": 0})
    assert fork.done("GET", "/map")["runs"] == [[1, 1, "data"]]


def test_a_session_resets_and_keeps_nothing(delta: DeltaApi) -> None:
    delta.write(1)
    for method, below, body in [
        ("POST", "/reset", {"generation": 0}),
        ("POST", "/snapshots", {"name": "x"}),
        ("GET", "/snapshots", None),
        ("GET", "/commits", None),
        ("GET", "", None),
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
    ]:
        answer = delta.world.bearing(delta.token, method, delta.path + below, json=body)
        assert error_of(answer) == (403, "FORBIDDEN")
    record = delta.done("GET")
    assert (record["generation"], record["epoch"], record["name"]) == (1, 1, "disk")
