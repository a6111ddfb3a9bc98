"""What /metrics shows, and to whom."""

from __future__ import annotations

import hmac
from pathlib import Path

import pytest

from image_gateway.catalog.repository import Catalog
from image_gateway.errors import CatalogUnavailable
from image_gateway.observability.catalog_metrics import CACHE_SECONDS, CatalogNumbers
from image_gateway.observability.metrics import write_sweep
from image_gateway.observability.metrics_exposition import Exposition
from tests.support.numbers import parse_page, total
from tests.support.world import World

TOKEN = "a-token-of-sixteen-and-more"


def page(world: World, token: str | None = TOKEN) -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = world.request("GET", "/metrics", user=None, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    return response.text


@pytest.fixture
def scraped(world: World) -> World:
    return world.with_settings(metrics_token=TOKEN)


def test_without_a_token_there_is_no_such_route(world: World) -> None:
    for headers in ({}, {"Authorization": f"Bearer {TOKEN}"}):
        response = world.request("GET", "/metrics", user=None, headers=headers)
        assert response.status_code == 404
        assert response.get_json() == {"error": {"code": "NOT_FOUND", "message": "there is no such route"}}


def test_whoever_has_the_token_may_see(scraped: World) -> None:
    image_id, _ = scraped.begin()
    samples = parse_page(page(scraped))
    assert total(samples, "requests_total", route="/v1/images", method="POST") >= 1
    assert total(samples, "open_uploads") == 1
    assert total(samples, "build_info") == 1
    assert image_id not in page(scraped)
    names = {name for name, _ in samples}
    assert all(name.startswith("image_gateway_") for name in names)
    assert not [name for name in names if name.endswith("_created")]


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \xfc"],
)
def test_nobody_else_may(scraped: World, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = scraped.request("GET", "/metrics", user=None, headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert "image_gateway_" not in response.text


def test_the_scheme_is_in_any_case(scraped: World) -> None:
    headers = {"Authorization": f"bearer {TOKEN}"}
    assert scraped.request("GET", "/metrics", user=None, headers=headers).status_code == 200


def test_guesses_are_counted(scraped: World) -> None:
    guarded = scraped.with_settings(rate_limit_failed_auth="3/minute")
    statuses = [
        guarded.request("GET", "/metrics", user=None, headers={"Authorization": "Bearer guess"}).status_code
        for _ in range(5)
    ]
    assert statuses == [401, 401, 401, 429, 429]
    assert page(guarded)


def test_tokens_are_compared_in_constant_time(scraped: World, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda *pair: compared.append(pair) or compare(*pair))
    page(scraped)
    assert compared == [(TOKEN.encode(), TOKEN.encode())]


def test_open_uploads_and_their_bytes(world: World, catalog: Catalog) -> None:
    assert catalog.open_uploads() == (0, 0)
    world.request("POST", "/v1/images", json={"sizeBytes": 3000})
    world.request("POST", "/v1/images", json={"sizeBytes": 500}, user="bob")
    ended = world.request("POST", "/v1/images", json={"sizeBytes": 70}).get_json()
    world.make_image(b"complete")
    assert catalog.open_uploads() == (3, 3570)
    world.request("DELETE", f"/v1/images/{ended['imageId']}")
    assert catalog.open_uploads() == (2, 3500)


class Asked:
    """A catalog that counts how often it is asked, and may be away."""

    def __init__(self) -> None:
        self.times = 0
        self.is_away = False

    def __call__(self) -> tuple[int, int]:
        self.times += 1
        if self.is_away:
            raise CatalogUnavailable("away")
        return self.times, 10 * self.times


def values(collector: CatalogNumbers) -> dict[str, float]:
    return {family.name: family.samples[0].value for family in collector.collect()}


def test_the_catalog_is_asked_once_in_a_while() -> None:
    catalog, now = Asked(), [100.0]
    collector = CatalogNumbers(catalog, clock=lambda: now[0])
    first = values(collector)
    assert first == {
        "image_gateway_catalog_up": 1,
        "image_gateway_open_uploads": 1,
        "image_gateway_open_upload_bytes": 10,
    }
    now[0] += CACHE_SECONDS - 1
    assert (values(collector), catalog.times) == (first, 1)
    now[0] += 1
    catalog.is_away = True
    assert (values(collector), catalog.times) == ({"image_gateway_catalog_up": 0}, 2)
    assert (values(collector), catalog.times) == ({"image_gateway_catalog_up": 0}, 2)
    catalog.is_away = False
    now[0] += CACHE_SECONDS
    assert values(collector)["image_gateway_open_uploads"] == 3


def test_a_question_that_hangs_holds_up_no_other_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_gateway.observability.metrics.LOCK_TIMEOUT_SECONDS", 0.01)
    collector = CatalogNumbers(Asked(), clock=lambda: 0.0)
    assert collector._lock.acquire()
    assert values(collector) == {"image_gateway_catalog_up": 0}


def test_a_catalog_that_is_away_does_not_hide_the_rest() -> None:
    catalog = Asked()
    catalog.is_away = True
    samples = parse_page(Exposition(catalog).render().text.decode())
    assert total(samples, "catalog_up") == 0
    assert "image_gateway_body_resumes_total" in {name for name, _ in samples}


def test_a_sweep_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "sweep.prom"
    for number in (1, 2):
        write_sweep(file, {"expired_uploads": number, "vanished": 0}, finished_at=1e9 + number, seconds=0.5)
    samples = parse_page(file.read_text())
    assert total(samples, "sweep_results", kind="expired_uploads") == 2
    assert total(samples, "sweep_finished_timestamp_seconds") == 1e9 + 2
    assert total(samples, "sweep_seconds") == 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.prom"]
