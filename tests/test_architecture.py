"""The modules that requests enter are those that docs/explanation/walks.md lists."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

import image_gateway
from tests.support.world import Image, World

ROOT = Path(image_gateway.__file__).parent
SECTION = re.compile(r"^## (.*?)\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
STEP = re.compile(r"^\d+\. `([a-z0-9_/]+\.py)`", re.MULTILINE)
EVERY = "Before and after every request"
# Of our files, from the parsed request to the response.
MOST_FILES_OF_A_RANGED_READ = 12


def documented() -> dict[str, list[str]]:
    """The modules of each walk, in the order of the document."""
    text = (ROOT.parent / "docs/explanation/walks.md").read_text()
    return {title: STEP.findall(section) for title, section in SECTION.findall(text)}


def entered(act: Callable[[], object]) -> set[str]:
    """The modules of the package whose functions this thread calls during an act."""
    found: set[str] = set()
    prefix = f"{ROOT}/"

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(prefix):
            found.add(frame.f_code.co_filename.removeprefix(prefix))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(before)
    return found


def entered_again(act: Callable[[], object]) -> set[str]:
    """As `entered`, when the act was done before."""
    act()
    return entered(act)


class Walks:
    """The requests of the document."""

    def __init__(self, world: World) -> None:
        self._world = world.with_settings(access_cache_seconds=60)
        self._image = self._make_image(b"\x01")
        self._sparse = self._make_image(bytes(1))

    def _make_image(self, byte: bytes) -> Image:
        image = self._world.make_image(byte * 300_032)
        self._world.publish(image, 64 * 1024)
        return image

    def read(self) -> None:
        response = self._world.request("GET", self._image.path("range"), headers={"Range": "bytes=0-9"})
        assert (response.status_code, response.data) == (206, b"\x01" * 10)

    def read_zeros(self) -> None:
        response = self._world.request("GET", self._sparse.path("range"), headers={"Range": "bytes=0-9"})
        assert (response.status_code, response.data) == (206, bytes(10))

    def read_by_lease(self) -> None:
        response = self._world.request("GET", f"/v1/l/{self._lease}/disk.img", user=None)
        assert (response.status_code, len(response.data)) == (200, 300_032)

    def read_chunk(self) -> None:
        response = self._world.request("GET", self._image.path("chunked/chunks/1"))
        assert (response.status_code, len(response.data)) == (200, 64 * 1024)

    def read_view_block(self) -> None:
        path = f"/v1/l/{self._lease}/v86/262144/disk-262144-524288.img"
        response = self._world.request("GET", path, user=None)
        assert (response.status_code, response.data) == (200, (b"\x01" * 37_888).ljust(262_144, b"\0"))

    def begin_upload(self) -> None:
        assert self._world.request("POST", "/v1/images", json={}).status_code == 200

    def trace(self) -> dict[str, set[str]]:
        """What each walk enters; connections and permissions of an earlier request are at hand."""
        self._world.request("GET", "/healthz")
        first = entered(self.read)
        again = entered(self.read)
        self._lease = self._world.make_lease(self._image)["token"]
        first_by_lease = entered(self.read_by_lease)
        return {
            "A ranged read": again,
            "The first read of a caller": first - again,
            "A read by a lease": first_by_lease,
            "A read of zeros": entered_again(self.read_zeros),
            "A chunk": entered_again(self.read_chunk),
            "A block of a view": entered_again(self.read_view_block),
            "The creation of an upload": entered_again(self.begin_upload),
        }


@pytest.fixture
def walks(world: World) -> dict[str, set[str]]:
    return Walks(world).trace()


def test_walks_are_as_documented(walks: dict[str, set[str]]) -> None:
    written = documented()
    every = set(written.pop(EVERY))
    assert {name: sorted(modules - every) for name, modules in walks.items()} == {
        name: sorted(modules) for name, modules in written.items()
    }


def test_a_ranged_read_is_short() -> None:
    assert len(documented()["A ranged read"]) <= MOST_FILES_OF_A_RANGED_READ
