"""Whatever a request is made of: no lease reads another image, no path reaches a key outside the image."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
from flask import Response
from flask.testing import FlaskClient
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from image_gateway.storage.client import StoreClients
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.leasing import RULES, cookie_of
from tests.support.world import Image, World, lasting_world

BOUNDED = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CONTENT = {"mine": b"M" * 1024, "theirs": b"T" * 1024}


class Scene:
    """Two images of one owner and a lease of one of them; the store notes which keys are asked for."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.mine, self.theirs = (world.make_image(data) for data in CONTENT.values())
        for image in (self.mine, self.theirs):
            world.publish(image, 512)
        self.token = world.make_lease(self.mine)["token"]
        self.their_token = world.make_lease(self.theirs)["token"]
        self.keys: list[str] = []

    @property
    def prefix(self) -> str:
        return self.mine.key.removesuffix("disk.img")

    def get(self, path: str, *, method: str = "GET", headers: dict[str, str] | None = None) -> TestResponse:
        """Request a path as it stands, `%` and all; servers hand it to WSGI decoded once."""
        # The contract is not asked: most of these paths are none of it.
        client = FlaskClient(self.world.app, Response, use_cookies=False)
        return client.open(path, method=method, headers=headers)

    def noting(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        def noted(key: str, *args: Any, **options: Any) -> Any:
            self.keys.append(key)
            return verb(key, *args, **options)

        return noted

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Afterwards only keys of the leased image were asked for."""
        self.keys.clear()
        yield
        assert [key for key in self.keys if not key.startswith(self.prefix)] == []


@pytest.fixture(scope="module")
def scene(databases: Databases, checker: ContractChecker, moto_clients: StoreClients) -> Iterator[Scene]:
    with lasting_world(databases, checker, moto_clients) as world, pytest.MonkeyPatch.context() as patch:
        made = Scene(world.with_settings(**RULES))
        for verb in ("open", "head"):
            patch.setattr(world.store, verb, made.noting(getattr(world.store, verb)))
        yield made


def below_image(image: Image) -> list[str]:
    return [
        image.path(route)
        for route in ("range", "metadata", "chunked/manifest", "chunked/chunks/0", "stream-url")
    ]


# What a lease reads


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_lease_reads_no_other_image(scene: Scene, method: str) -> None:
    for path in below_image(scene.theirs):
        with scene.watched():
            bearer = scene.get(path, method=method, headers={"Authorization": f"Bearer {scene.token}"})
            cookie = scene.get(path, method=method, headers=cookie_of(scene.token))
        assert bearer.status_code == 403
        assert cookie.status_code in (401, 403)
        assert scene.keys == []


def test_a_lease_in_the_path_is_for_its_own_image_whatever_else_is_sent(scene: Scene) -> None:
    others: list[dict[str, str]] = [
        {"Authorization": f"Bearer {scene.their_token}"},
        cookie_of(scene.their_token),
        {"X-User-Id": "mallory"},
    ]
    for headers in others:
        with scene.watched():
            response = scene.get(f"/v1/l/{scene.token}/disk.img", headers=headers)
        assert response.data == CONTENT["mine"]
        assert scene.keys == [scene.mine.key]


def test_of_two_cookies_none_opens_the_other_image(scene: Scene) -> None:
    both = {"Cookie": f"ImageLease={scene.token}; ImageLease={scene.their_token}"}
    for image, data in zip((scene.mine, scene.theirs), CONTENT.values(), strict=True):
        response = scene.get(image.path("range"), headers=both)
        assert response.status_code == 403 or response.data == data


CHARACTERS = string.ascii_letters + string.digits + "~-_.=%/ "


@given(place=st.integers(0, 400), character=st.sampled_from(CHARACTERS), carrier=st.integers(0, 2))
@BOUNDED
def test_a_changed_token_reads_nothing(scene: Scene, place: int, character: str, carrier: int) -> None:
    token = scene.token
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    assume(changed.strip() != token)
    scene.keys.clear()
    response = present(scene, changed, carrier)
    assert response.status_code in (401, 403, 404)
    assert scene.keys == []


@given(
    token=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=80),
    carrier=st.integers(0, 2),
)
@BOUNDED
@example(token="igl~", carrier=0)
@example(token="igl~k1~~", carrier=1)
@example(token="ï~k1", carrier=1)
def test_a_made_up_token_reads_nothing(scene: Scene, token: str, carrier: int) -> None:
    scene.keys.clear()
    for text in (token, f"igl~k1~{token}"):
        response = present(scene, text, carrier)
        assert response.status_code in (400, 401, 403, 404)
    assert scene.keys == []


def present(scene: Scene, token: str, carrier: int) -> TestResponse:
    """Read by a token in the path, as a bearer token or as a cookie."""
    if carrier == 0:
        return scene.get(f"/v1/l/{quote(token, safe='~')}/disk.img")
    sent = token.encode().decode("latin-1")
    headers = {"Authorization": f"Bearer {sent}"} if carrier == 1 else cookie_of(sent)
    return scene.get(scene.mine.path("range"), headers=headers)


# Paths

DOTS = [
    "..",
    "%2e%2e",
    "%252e%252e",
    ".%2e",
    "\uff0e\uff0e",
    "\u2025",
    "\u3002\u3002",
    "%c0%ae%c0%ae",
    "\u2024\u2024",
    "..%00",
]
SLASHES = [
    "/",
    "%2f",
    "%252f",
    "\\",
    "%5c",
    "%255c",
    "\uff0f",
    "\u2215",
    "%c0%af",
    "//",
    "/./",
    "%2f%2f",
    "%e0%80%af",
]
NAMES = [
    "disk.img",
    "manifest.json",
    "chunks",
    "chunks/0",
    "chunks/00000000.bin",
    "0",
    "1",
    "00000001.bin",
    "%00",
    "0%00",
    "0%00.bin",
    "%0a0",
    "0%0d%0a",
    "",
    "\u0663",
    "\uff11",
    "-1",
    "+1",
    "1e1",
    "0x1",
    "9" * 30,
    "9" * 5000,
    "%",
    "%zz",
    "%ff",
    "%ed%a0%80",
    "*",
    "?versionId=1",
    "~",
    "%7e",
    ";x",
    ".bin",
    "1.bin.bin",
]


@st.composite
def tricks(draw: st.DrawFn) -> str:
    """Dots, slashes and names in every spelling, also of the other image."""
    pieces = draw(
        st.lists(st.sampled_from([*DOTS, *SLASHES, *NAMES, "{other}", "{key}"]), min_size=1, max_size=8)
    )
    return draw(st.sampled_from(["", "/"])).join(pieces)


ROOTS = ["/v1/l/{token}/", "/v1/l/{token}/chunks/", "/v1/images/{mine}/chunked/chunks/", "/v1/images/{mine}/"]


@given(trick=tricks(), root=st.sampled_from(ROOTS), method=st.sampled_from(["GET", "HEAD"]))
@BOUNDED
@example(trick="../../{other}/disk.img", root=ROOTS[1], method="GET")
@example(trick="..%2f..%2f{other}%2fdisk.img", root=ROOTS[1], method="GET")
@example(trick="..%252f..%252f{other}%252fdisk.img", root=ROOTS[2], method="GET")
@example(trick="{key}", root=ROOTS[2], method="GET")
@example(trick="0%00", root=ROOTS[2], method="HEAD")
@example(trick="9" * 9000, root=ROOTS[2], method="GET")
def test_no_path_reaches_a_key_outside_the_image(scene: Scene, trick: str, root: str, method: str) -> None:
    path = (root + trick).replace("{token}", scene.token).replace("{mine}", scene.mine.image_id)
    path = path.replace("{other}", scene.theirs.image_id).replace("{key}", quote(scene.theirs.key, safe=""))
    with scene.watched():
        response = scene.get(
            quote(path, safe="%/\\?;~*+"), method=method, headers={"Authorization": f"Bearer {scene.token}"}
        )
    assert response.status_code < 500
    assert b"T" * 16 not in response.data


@given(
    image_id=st.sampled_from(
        [*DOTS, "{mine}%2f..%2f{other}", "{mine}%00", "{mine}.", " {mine}", "{mine}%20", "%7b{mine}%7d"]
    )
    | st.text(max_size=40)
)
@BOUNDED
def test_no_image_id_but_its_own_is_the_leased_image(scene: Scene, image_id: str) -> None:
    odd = image_id.replace("{mine}", scene.mine.image_id).replace("{other}", scene.theirs.image_id)
    path = f"/v1/images/{quote(odd, safe='%')}/range"
    scene.keys.clear()
    response = scene.get(path, headers={"Authorization": f"Bearer {scene.token}"})
    assert response.status_code in (400, 403, 404, 414)
    assert scene.keys == []


def test_only_the_documented_spellings_of_a_chunk_are_one(scene: Scene) -> None:
    spellings = [
        "0",
        "1",
        "00",
        "0000000001",
        "00000001.bin",
        "1.bin",
        "\u0660",
        "0 ",
        " 0",
        "0x0",
        "-0",
        "+0",
        "0.0",
    ]
    answers = {name: scene.get(f"/v1/l/{scene.token}/chunks/{quote(name)}").status_code for name in spellings}
    assert {name for name, status in answers.items() if status == 200} == {
        "0",
        "1",
        "00",
        "0000000001",
        "00000001.bin",
    }
