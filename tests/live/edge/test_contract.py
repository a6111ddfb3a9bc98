"""The contract holds through nginx: its answers are held against those of the gateway behind it."""

from __future__ import annotations

import http.client
import random
import uuid
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, assume, given, settings

from tests.live.edge.conftest import CHUNK, DATA, SIZE, SLICE, Pair, StartPair, running_pair
from tests.live.support import entity_of
from tests.support.depth import depths
from tests.support.keys import make_key, pem_of
from tests.support.rfc9110 import Entity, right_answers
from tests.support.rfc9110_cases import Case, cases, seen

LAST = SIZE - 1
RANGES = [
    None,
    "bytes=0-0",
    f"bytes=0-{LAST}",
    "bytes=0-",
    f"bytes={LAST}-",
    f"bytes={LAST}-{10**14}",
    f"bytes=5-{'9' * 40}",
    f"bytes={SLICE - 1}-{SLICE}",
    f"bytes={SLICE}-{2 * SLICE - 1}",
    "bytes=-1",
    f"bytes=-{SIZE}",
    f"bytes=-{10 * SIZE}",
    f"bytes=-{'9' * 12}",
    f"bytes={SIZE}-",
    f"bytes={SIZE}-{SIZE + 5}",
    f"bytes={100 * SIZE}-",
    "bytes=-0",
    "bytes=5-4",
    "bytes=0-1,3-4",
    "bytes=0-1,",
    "bytes=a-b",
    "Bytes=0-1",
    "  bytes=0-1 ",
    "items=0-1",
    "bytes=0-99999999",
    "bytes=00000000-00000009",
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("requested", RANGES)
def test_ranges(pair: Pair, owner: str, image_id: str, method: str, requested: str | None) -> None:
    headers = {"X-User-Id": owner, **({} if requested is None else {"Range": requested})}
    direct, through = pair.both(method, f"/v1/images/{image_id}/range", headers)
    assert through == direct


@pytest.mark.parametrize(
    "requested", [None, "bytes=0-9", "bytes=-3", f"bytes={CHUNK}-", "bytes=1-0", "bytes=0-1,2-3"]
)
@pytest.mark.parametrize("name", ["0", "00000001.bin", "3", "99", "x", "1.bin"])
def test_chunks(pair: Pair, owner: str, image_id: str, name: str, requested: str | None) -> None:
    headers = {"X-User-Id": owner, **({} if requested is None else {"Range": requested})}
    direct, through = pair.both("GET", f"/v1/images/{image_id}/chunked/chunks/{name}", headers)
    assert through == direct


@pytest.mark.parametrize("route", ["range", "chunked/chunks/1"])
@pytest.mark.parametrize("requested", [None, "bytes=2-5"])
def test_conditions(pair: Pair, owner: str, image_id: str, route: str, requested: str | None) -> None:
    path = f"/v1/images/{image_id}/{route}"
    now = pair.ask("GET", path, {"X-User-Id": owner}, direct=True).headers
    etag, date = now["etag"], now["last-modified"]
    conditions: list[dict[str, str]] = [
        *(
            {name: value}
            for name in ("If-Match", "If-None-Match", "If-Range")
            for value in (
                etag,
                f"W/{etag}",
                '"other"',
                "*",
                f'"x", {etag}',
                etag[:-1],
                "garbage",
                f'"{"x" * 400}"',
            )
        ),
        *(
            {name: value}
            for name in ("If-Modified-Since", "If-Unmodified-Since", "If-Range")
            for value in (date, "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT", "tomorrow")
        ),
        {"If-Match": etag, "If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If-None-Match": '"other"', "If-Modified-Since": date},
    ]
    for condition in conditions:
        headers = {"X-User-Id": owner, **condition, **({} if requested is None else {"Range": requested})}
        direct, through = pair.both("GET", path, headers)
        assert through == direct, condition


@pytest.fixture(scope="module")
def entity(pair: Pair, image_id: str) -> Entity:
    return entity_of(pair.environment["DATABASE_URL"], image_id, DATA)


@pytest.fixture(scope="module")
def connection(pair: Pair) -> Iterator[http.client.HTTPConnection]:
    address = urlsplit(pair.edge.url)
    kept = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    yield kept
    kept.close()


@pytest.mark.parametrize("examples", depths(60, 150))
def test_any_request_is_answered_as_the_rfc_has_it(
    connection: http.client.HTTPConnection, owner: str, image_id: str, entity: Entity, examples: int
) -> None:
    """As for the gateway alone, except that nginx cannot tell an empty condition from none."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(case=cases(entity, overlong=False))
    def check(case: Case) -> None:
        method, headers = case
        stripped = {name: value.strip(" \t") for name, value in headers.items()}
        assume(all(value or name == "Range" for name, value in stripped.items()))
        connection.request(method, f"/v1/images/{image_id}/range", headers={"X-User-Id": owner, **headers})
        with connection.getresponse() as response:
            answer = seen(response.status, response.headers, response.read())
        assert answer in right_answers(method, stripped, entity)

    check()


STATES = ["uploading", "private", "shared", "public", "deleted", "unknown"]
READERS = ["owner", "friend", "stranger", "nobody", "lease", "bearer", "query", "cookie", "link", "bad"]
ROUTES = ["range", "chunked/chunks/0", "chunked/manifest"]


@pytest.fixture(scope="module")
def images(pair: Pair, owner: str) -> dict[str, tuple[str, dict[str, str]]]:
    """An image in each state with the tokens of its leases."""
    made = {}
    for state in STATES:
        if state == "unknown":
            made[state] = (str(uuid.uuid4()), {})
            continue
        if state == "uploading":
            made[state] = (pair.post("/v1/images", owner)["imageId"], {})
            continue
        image_id = pair.make_image(owner, DATA[: 2 * SLICE], publish=True)
        client = pair.client(owner)
        client.change_image(image_id, visibility="shared")
        client.share(image_id, "friend", "read")
        link = client.make_share_link(image_id)["token"]
        tokens = {
            "lease": pair.post("/v1/leases", owner, imageId=image_id)["token"],
            "link": pair.post("/v1/share-links/redeem", owner, token=link)["token"],
        }
        if state == "deleted":
            client.delete_image(image_id)
        else:
            client.change_image(image_id, visibility=state)
        made[state] = (image_id, tokens)
    return made


def _requests(
    image_id: str, tokens: dict[str, str], reader: str, owner: str
) -> Iterator[tuple[str, dict[str, str]]]:
    token = tokens.get("link" if reader == "link" else "lease", "k1.not-a-lease")
    if reader in ("lease", "link", "bad"):
        token = "k1.bad" if reader == "bad" else token
        yield from ((f"/v1/l/{token}/{name}", {}) for name in ("disk.img", "chunks/0", "manifest.json"))
    for route in ROUTES:
        path = f"/v1/images/{image_id}/{route}"
        users = {"owner": owner, "friend": "friend", "stranger": "stranger"}
        if reader in users:
            yield path, {"X-User-Id": users[reader]}
        elif reader == "nobody":
            yield path, {}
        elif reader == "query":
            yield f"{path}?token={token}", {}
        elif reader == "cookie":
            yield path, {"Cookie": f"other=1; ImageLease={token}; more=2"}
        else:
            yield path, {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("reader", READERS)
def test_who_may_read(
    pair: Pair, owner: str, images: dict[str, tuple[str, dict[str, str]]], state: str, reader: str
) -> None:
    image_id, tokens = images[state]
    for path, headers in _requests(image_id, tokens, reader, owner):
        for requested in ({}, {"Range": "bytes=3-8"}):
            direct, through = pair.both("GET", path, {**headers, **requested})
            assert through == direct, path


ORIGINS = [None, "https://app.example.com", "https://other.example.com", "null"]


@pytest.fixture(scope="module")
def named(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair that answers pages of one origin."""
    folder = tmp_path_factory.mktemp("named")
    with running_pair(environment, folder, CORS_ALLOW_ORIGIN="https://app.example.com") as running:
        yield running


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("allowed", ["any", "named"])
def test_pages_of_other_origins(
    pair: Pair, named: Pair, owner: str, image_id: str, origin: str | None, allowed: str
) -> None:
    chosen = named if allowed == "named" else pair
    lease = chosen.post("/v1/leases", owner, imageId=image_id)["token"]
    headers = {} if origin is None else {"Origin": origin}
    for method, path, more in [
        ("GET", f"/v1/l/{lease}/disk.img", {"Range": "bytes=0-9"}),
        ("GET", f"/v1/l/{lease}/disk.img", {"Range": f"bytes={10 * SIZE}-"}),
        ("GET", f"/v1/l/{lease}/disk.img", {}),
        ("GET", f"/v1/l/{lease}/chunks/0", {}),
        ("GET", f"/v1/images/{image_id}/range", {}),
        ("GET", f"/v1/images/{image_id}/range", {"X-User-Id": owner}),
        ("GET", "/v1/images/none/range", {"X-User-Id": owner}),
        ("GET", "/nothing", {}),
        (
            "OPTIONS",
            f"/v1/images/{image_id}/range",
            {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range, x-user-id"},
        ),
    ]:
        direct, through = chosen.both(method, path, {**headers, **more})
        if "X-User-Id" in more and origin is not None and chosen is pair:
            # Each is an origin of its own, and neither was named.
            assert (through.status, direct.status) == (403, 403)
        assert through == direct, (path, more)


def test_what_nginx_refuses_by_itself_has_the_shape_of_errors(named: Pair) -> None:
    page = {"Origin": "https://app.example.com"}
    refused = {
        414: named.ask("GET", "/v1/images/" + "x" * 9000, page),
        413: named.ask("POST", "/v1/images", page, body=b" " * (5 * 1024 * 1024)),
        431: named.ask("GET", "/healthz", {**page, "X-Long": "x" * 70_000}),
        405: named.ask("TRACE", "/healthz", page),
    }
    codes = {413: "TOO_LARGE", 414: "URL_TOO_LONG", 431: "HEADERS_TOO_LARGE", 405: "METHOD_NOT_ALLOWED"}
    for status, answer in refused.items():
        assert (answer.status, answer.code) == (status, codes[status])
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "x-request-id" in answer.headers
        if status != 431:
            # A head that was never read to its end names no origin.
            assert answer.headers["access-control-allow-origin"] == "https://app.example.com"


def test_whole_images_are_exact_however_they_are_read(pair: Pair, owner: str, image_id: str) -> None:
    rng = random.Random(4)
    for _ in range(200):
        start = rng.randrange(SIZE)
        stop = rng.randrange(start, SIZE)
        answer = pair.ask(
            "GET", f"/v1/images/{image_id}/range", {"X-User-Id": owner, "Range": f"bytes={start}-{stop}"}
        )
        assert (answer.status, answer.body) == (206, DATA[start : stop + 1])
        assert answer.headers["content-range"] == f"bytes {start}-{stop}/{SIZE}"


def test_chunks_may_come_from_a_cdn(start_pair: StartPair, owner: str, image_id: str) -> None:
    pair = start_pair(
        CLOUDFRONT_DOMAIN="d1.cloudfront.net",
        CLOUDFRONT_KEY_PAIR_ID="K1",
        CLOUDFRONT_PRIVATE_KEY_PEM=pem_of(make_key()),
    )
    for route in ("chunked/chunks/0", "chunked/manifest"):
        direct, through = pair.both("GET", f"/v1/images/{image_id}/{route}", {"X-User-Id": owner})
        assert through.status == 307
        assert through == replace(direct, headers=through.headers)
        assert through.headers["location"].startswith("https://d1.cloudfront.net/")
