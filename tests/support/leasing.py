"""Gateways whose leases are short, and the ways in which a lease reaches them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from werkzeug.test import TestResponse

from tests.support.clock import Clock
from tests.support.world import Image, World

OLD, NEW = ("k1", "1" * 40), ("k2", "2" * 40)
TTL, MOST, SESSION, GRACE = 60, 120, 600, 30
RULES: dict[str, Any] = {
    "rate_limits": False,
    "lease_keys": (OLD,),
    "lease_ttl_seconds": TTL,
    "lease_max_ttl_seconds": MOST,
    "lease_session_seconds": SESSION,
    "lease_grace_seconds": GRACE,
}

Carrier = Literal["path", "bearer", "cookie"]
CARRIERS: tuple[Carrier, ...] = ("path", "bearer", "cookie")
# What is read: below the token, and below the image.
TARGETS = {
    "disk": ("disk.img", "range"),
    "manifest": ("manifest.json", "chunked/manifest"),
    "chunk": ("chunks/1", "chunked/chunks/1"),
}


@dataclass(frozen=True)
class Remake:
    """Makes gateways over one catalog, by one clock, that only differ as told."""

    lasting: World
    clock: Clock

    def __call__(self, *, provider: bool = False, **changes: Any) -> World:
        make = self.lasting.with_provider if provider else self.lasting.with_settings
        return make(clock=self.clock, **RULES | changes)


def read(
    world: World,
    token: str,
    carrier: Carrier,
    image: Image,
    *,
    target: str = "disk",
    method: str = "GET",
    headers: dict[str, str] | None = None,
) -> TestResponse:
    """Read by a lease that is carried in one way, with no other credential."""
    below_token, below_image = TARGETS[target]
    if carrier == "path":
        return world.request(method, f"/v1/l/{token}/{below_token}", user=None, headers=headers or {})
    carried = {"Authorization": f"Bearer {token}"} if carrier == "bearer" else cookie_of(token)
    return world.request(method, image.path(below_image), user=None, headers={**carried, **(headers or {})})


def cookie_of(token: str) -> dict[str, str]:
    return {"Cookie": f"ImageLease={token}"}


def outcome(response: TestResponse) -> tuple[int, str | None]:
    """The status, with the code of an error."""
    document: Any = response.get_json(silent=True) if response.status_code >= 400 else None
    return response.status_code, document["error"]["code"] if document else None


def renew(world: World, lease_id: str, **options: Any) -> tuple[int, str | None]:
    return outcome(world.request("POST", f"/v1/leases/{lease_id}/renew", **options))


def revoke(world: World, lease_id: str, **options: Any) -> tuple[int, str | None]:
    return outcome(world.request("DELETE", f"/v1/leases/{lease_id}", **options))


def redeem(world: World, image: Image, **link: Any) -> tuple[str, dict[str, Any]]:
    """Make a share link and redeem it: its id, and the lease."""
    made = world.request("POST", image.path("share-links"), json=link).get_json()
    lease = world.request("POST", "/v1/share-links/redeem", user=None, json={"token": made["token"]})
    assert lease.status_code == 200, lease.text
    return made["linkId"], lease.get_json()


def moment(text: str) -> float:
    """Seconds since the epoch of a date in an answer."""
    return datetime.fromisoformat(text).timestamp()
