"""The fake gateway's identity, leases and sharing."""

from __future__ import annotations

import base64
import json
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

# The server's clock is far from this machine's, as in real life.
SERVER_EPOCH = datetime(2031, 1, 1, tzinfo=UTC)


@dataclass
class FakeLease:
    image_id: str
    expires: datetime
    session_end: datetime
    revoked: bool = False
    lease_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def token(self) -> str:
        claims = json.dumps([self.lease_id, self.image_id, "v1", ["disk:read"], 1]).encode()
        return f"igl~k1~{base64.urlsafe_b64encode(claims).decode().rstrip('=')}~SIGNED"


class FakeSharing:
    """Whom the gateway knows: anybody by name, or, once `tokens` is set, those with one of these."""

    def __init__(self) -> None:
        self.tokens: set[str] | None = None
        self.now = SERVER_EPOCH
        self.lease_seconds, self.session_seconds, self.grace_seconds = 600, 43_200, 300
        self.leases: dict[str, FakeLease] = {}
        self.links: dict[str, dict[str, Any]] = {}
        self.shared: dict[str, dict[str, str]] = defaultdict(dict)
        # Path and headers of every request, the store's among them.
        self.requests: list[tuple[str, dict[str, str]]] = []

    def refusal(self, path: str, headers: dict[str, str]) -> Any:
        """The answer to who may not ask this; None for all others."""
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if path == "/v1/share-links/redeem":
            return None
        if token.startswith("igl~"):
            return self._lease_refusal(path, token)
        if self.tokens is None and "X-User-Id" in headers:
            return None
        # Whoever is on the way may repeat what was sent.
        return None if token in (self.tokens or ()) else (401, "UNAUTH", f"the token {token} has expired")

    def _lease_refusal(self, path: str, token: str) -> Any:
        lease = next((lease for lease in self.leases.values() if lease.token == token), None)
        if lease is None:
            return 401, "UNAUTH", "invalid lease token"
        if path.endswith("/renew"):
            return None
        if path != f"/v1/images/{lease.image_id}/range":
            return 403, "FORBIDDEN", "a lease only permits reading: authenticate as a user"
        if lease.revoked:
            return 403, "LEASE_REVOKED", "the lease was revoked"
        if self.now < lease.expires:
            return None
        if self.now < lease.expires + timedelta(seconds=self.grace_seconds):
            return (
                503,
                "LEASE_LAPSED",
                "the lease has expired but can still be renewed; try again after its renewal",
            )
        return 401, "LEASE_EXPIRED", "the lease has expired: create a new one"

    def add_link(self, image_id: str, token: str) -> str:
        self.links[str(uuid.uuid4())] = {"imageId": image_id, "token": token, "maxUses": None, "uses": 0}
        return token

    def add_lease(self, image_id: str) -> FakeLease:
        session_end = self.now + timedelta(seconds=self.session_seconds)
        lease = FakeLease(image_id, self.now + timedelta(seconds=self.lease_seconds), session_end)
        self.leases[lease.lease_id] = lease
        return lease

    # The routes, as those of FakeGateway.

    def redeem(self, _: str, body: dict[str, Any]) -> Any:
        link = next((link for link in self.links.values() if link["token"] == body["token"]), None)
        if link is None:
            return 404, "NOT_FOUND", f"there is no such share link: {body['token']}"
        link["uses"] += 1
        return self._told(self.add_lease(link["imageId"]))

    def renew(self, _: str, body: dict[str, Any]) -> Any:
        lease = self.leases[body["id"]]
        if self.now >= lease.session_end:
            return 401, "LEASE_EXPIRED", "the lease's session has ended: create a new lease"
        if lease.revoked:
            return 403, "LEASE_REVOKED", "the lease was revoked"
        lease.expires = min(self.now + timedelta(seconds=self.lease_seconds), lease.session_end)
        return self._told(lease)

    def add_share(self, image_id: str, body: dict[str, Any]) -> Any:
        self.shared[image_id][body["user"]] = body["permission"]
        return self._share(image_id, body["user"])

    def list_shares(self, image_id: str, query: dict[str, str]) -> Any:
        users = sorted(user for user in self.shared[image_id] if user > query.get("cursor", ""))
        more = {"nextCursor": users[1]} if len(users) > 2 else {}
        return {"shares": [self._share(image_id, user) for user in users[:2]], **more}

    def remove_share(self, image_id: str, query: dict[str, str]) -> Any:
        if self.shared[image_id].pop(query["user"], None) is None:
            return 404, "NOT_FOUND", "the image is not shared with this user"
        return {"ok": True}

    def make_link(self, image_id: str, body: dict[str, Any]) -> Any:
        link_id = str(uuid.uuid4())
        ttl = body.get("ttlSeconds")
        self.links[link_id] = {
            "imageId": image_id,
            "created": moment(self.now),
            "expiresAt": moment(self.now + timedelta(seconds=ttl)) if ttl else None,
            "maxUses": body.get("maxUses"),
            "label": body.get("label"),
            "uses": 0,
            "token": f"igs_{'T' * 43}",
        }
        return {**self._link(link_id), "token": self.links[link_id]["token"]}

    def list_links(self, image_id: str, _: dict[str, str]) -> Any:
        return {
            "shareLinks": [self._link(key) for key, link in self.links.items() if link["imageId"] == image_id]
        }

    def revoke_link(self, _: str, body: dict[str, Any]) -> Any:
        if self.links.pop(body["id"], None) is None:
            return 404, "NOT_FOUND", "there is no such share link"
        return {"ok": True}

    def _share(self, image_id: str, user: str) -> dict[str, str]:
        return {"user": user, "permission": self.shared[image_id][user], "created": moment(self.now)}

    def _link(self, link_id: str) -> dict[str, Any]:
        hidden = ("token", "imageId")
        return {"linkId": link_id, **{k: v for k, v in self.links[link_id].items() if k not in hidden}}

    def _told(self, lease: FakeLease) -> dict[str, Any]:
        return {
            "leaseId": lease.lease_id,
            "imageId": lease.image_id,
            "scopes": ["disk:read"],
            "url": f"http://x.test/v1/l/{lease.token}/disk.img",
            "token": lease.token,
            "expiresAt": moment(lease.expires),
            "sessionEndsAt": moment(lease.session_end),
        }


def moment(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")
