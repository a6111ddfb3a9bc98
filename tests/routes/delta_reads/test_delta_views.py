"""Views of deltas: every layout has the merged disk, and every ETag the generation."""

from __future__ import annotations

import pytest

from image_gateway.protocol.views.offers import offer_views
from tests.routes.delta_reads.conftest import BLOCK, SIZE, DeltaScene
from tests.routes.views.conftest import fetch_from
from tests.routes.views.test_headers import DISKS, DOCUMENTS, FILES
from tests.support.view_readers import read_offered
from tests.support.world import World

NO_CACHE = "private, no-cache, no-transform"
IMMUTABLE = "private, max-age=31536000, immutable, no-transform"


def of_user(world: World) -> object:
    """Fetch as the owner."""
    fetch = fetch_from(world)
    return lambda method, url, headers: fetch(method, url, {**headers, "X-User-Id": "alice"})


def test_every_layout_has_the_disk(scene: DeltaScene) -> None:
    fetch = fetch_from(scene.world)
    newest, fixed = scene.lease()["views"], scene.lease(generation=1)["views"]
    older = scene.get(query_string={"generation": 1}).data
    scene.write(90, seed=3)
    assert set(read_offered(fetch, newest).values()) == {bytes(scene.guest.disk)}
    assert set(read_offered(fetch, fixed).values()) == {older}


def test_every_layout_has_the_disk_for_its_owner(scene: DeltaScene) -> None:
    views = offer_views(f"http://localhost{scene.path('views')}", SIZE)
    assert set(read_offered(of_user(scene.world), views).values()) == {bytes(scene.guest.disk)}  # type: ignore[arg-type]


@pytest.mark.parametrize("file", [*FILES, *DISKS])
def test_etags_have_the_generation(scene: DeltaScene, file: str) -> None:
    def head(route: str) -> tuple[str, str]:
        response = scene.world.request("HEAD", scene.path(f"views/{route}"))
        assert response.status_code == 200
        assert "Last-Modified" not in response.headers
        return response.headers["ETag"], response.headers["Cache-Control"]

    before, caching = head(file)
    assert caching == NO_CACHE
    assert f".{scene.guest.delta_id}.2" in before
    for status in (304, 200):
        answer = scene.get(f"views/{file}", headers={"If-None-Match": before})
        assert answer.status_code == status
        scene.write(1, seed=4)
    assert head(file)[0] != before
    assert scene.get(f"views/{file}", headers={"If-Match": before}).status_code == 412


@pytest.mark.parametrize("file", FILES)
def test_only_pieces_of_a_fixed_generation_last(scene: DeltaScene, file: str) -> None:
    newest, fixed = scene.lease()["token"], scene.lease(generation=2)["token"]
    session = scene.world.request("POST", scene.path("sessions")).get_json()["token"]
    for token in (newest, session):
        assert scene.leased(token, file).headers["Cache-Control"] == NO_CACHE
    expected = NO_CACHE if file.endswith(DOCUMENTS) else IMMUTABLE
    assert scene.leased(fixed, file).headers["Cache-Control"] == expected


def test_a_manifest_leaves_zeros_of_the_delta_out(scene: DeltaScene) -> None:
    scene.guest.write(32, None, 16)
    chunks = scene.get("views/infinite-mac/65536/manifest.json").get_json()["chunks"]
    assert [index for index, name in enumerate(chunks) if not name] == [32 * BLOCK // 65_536]
