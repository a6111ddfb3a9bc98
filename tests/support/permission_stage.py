"""An image in every state with all that lets others in, and gateways that are asked about it."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from flask import Response
from flask.testing import FlaskClient

from image_gateway.domain.images import Visibility
from image_gateway.domain.jobs import JobKind, new_job
from image_gateway.domain.leases import Holder, HolderKind, Lease, Scope
from image_gateway.domain.shares import Permission, Share, ShareLink
from image_gateway.identity.lease_tokens import LeaseClaims, LeaseKey, LeaseTokens
from tests.support.clock import Clock
from tests.support.permission_table import SIGNED_IN, VIEW_FILES, Row
from tests.support.world import OWNER, World

KEYS = (("k1", "1" * 40),)
COMMIT_HEADERS = {
    "If-Match": '"0"',
    "Idempotency-Key": "key",
    "Content-Digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
    "Content-Type": "application/octet-stream",
}


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
    delta_id: str
    snapshot_id: str

    def path(self, rule: str, role: str) -> str:
        values = {
            "image_id": self.image_id,
            "lease_id": self.lease_id,
            "link_id": self.link_id,
            "job_id": self.job_id,
            "delta_id": self.delta_id,
            "snapshot_id": self.snapshot_id,
            "block": "0",
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
            "deltas": {"imageId": self.image_id},
            "snapshots": {"name": "kept"},
            "reset": {"generation": 0},
            "flatten": {"name": "flat"},
        }
        if row.action == "delta-read":
            bodies["leases"] = {"deltaId": self.delta_id}
        if row.action == "delta-fork":
            bodies["deltas"] = {"fromDelta": self.delta_id}
        if row.action == "delta-commit":
            return {"data": b"", "headers": COMMIT_HEADERS}
        if row.method == "PATCH":
            return {"json": {"name": "renamed"}}
        return {"json": bodies[ending]} if row.method == "POST" and ending in bodies else {}


def set_up(world: World, state: str) -> Stage:
    """Bring a new image into a state, past the services, so that what cannot be is there as well."""
    image_id, upload_id = _image_in(world, state)
    catalog, now = world.catalog, Clock().at()
    delta_id, snapshot_id = str(uuid.uuid4()), str(uuid.uuid4())
    if state not in ("uploading", "failed"):
        delta_id, snapshot_id = _delta_over(world, image_id)
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
        assert catalog.deltas.delete(delta_id, now)
        assert catalog.delete(image_id, now)
    job = catalog.jobs.add(new_job(image_id, JobKind.VERIFY, now))
    return Stage(
        image_id,
        upload_id,
        lease_id,
        link_id,
        lease_token,
        link_token,
        link_lease_token,
        job.job_id,
        delta_id,
        snapshot_id,
    )


def _delta_over(world: World, image_id: str) -> tuple[str, str]:
    delta_id = world.request("POST", "/v1/deltas", json={"imageId": image_id}).get_json()["deltaId"]
    kept = world.request("POST", f"/v1/deltas/{delta_id}/snapshots", json={"name": "kept"})
    return delta_id, kept.get_json()["snapshotId"]


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
        path, options = stage.path(row.rule, role), stage.options(row)
        headers = stage.headers(role) | options.pop("headers", {})
        client = FlaskClient(world.app, Response)
        response = client.open(path, method=row.method, headers=headers, buffered=True, **options)
        if (row, response.status_code) not in self.held:
            self.held.add((row, response.status_code))
            world.checker.check(response)
        if row.method == "GET":
            head = client.head(path, headers=headers, buffered=True)
            assert (head.status_code, head.data) == (response.status_code, b"")
        if row.changes and response.status_code == 200:
            self.stages[state] = set_up(self.plain, state)
        return response.status_code


def shown(world: World, row: Row, stage: Stage, headers: dict[str, str]) -> tuple[int, bytes, list[Any]]:
    """All of an answer but the request's id."""
    options = stage.options(row)
    response = FlaskClient(world.app, Response).open(
        stage.path(row.rule, "stranger"),
        method=row.method,
        headers=headers | options.pop("headers", {}),
        **options,
    )
    kept = sorted((name, value) for name, value in response.headers if name != "X-Request-Id")
    return response.status_code, response.data, kept
