"""The table of permissions, and what somebody is to an image."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.callers import NOBODY, Caller
from image_gateway.domain.images import ImageState, Visibility
from image_gateway.domain.leases import Holder, HolderKind, Lease, Scope
from image_gateway.domain.permissions import PERMISSIONS, Action, Role
from image_gateway.domain.shares import Permission, Share, ShareLink
from image_gateway.errors import Forbidden, GatewayError, LeaseRevoked, NotFound, Unauthenticated
from image_gateway.services.reading.access import Access, holder_of
from tests.support.clock import Clock
from tests.support.records import DISK, FREE, IMAGE_ID, NOW, make_record

PRIVATE, SHARED, PUBLIC = Visibility.PRIVATE, Visibility.SHARED, Visibility.PUBLIC
UNKNOWN = "00000000-0000-4000-8000-00000000ffff"
LINK = "00000000-0000-4000-8000-0000000000aa"


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = NOW.timestamp()
    return clock


@pytest.fixture
def access(catalog: Catalog, clock: Clock) -> Access:
    """The image of alice, which wendy may write to, rick may read, and a link lets others read."""
    catalog.add(make_record(), FREE)
    catalog.complete(IMAGE_ID, "u1", DISK, NOW)
    catalog.shares.share(Share(IMAGE_ID, "wendy", Permission.WRITE, NOW))
    catalog.shares.share(Share(IMAGE_ID, "rick", Permission.READ, NOW))
    link = ShareLink(LINK, IMAGE_ID, NOW, expires_at=NOW + timedelta(hours=1), max_uses=None)
    catalog.shares.add_link(link, "0" * 64)
    return Access(catalog, catalog.shares, hide_foreign=False, remember=0, clock=clock)


def show(catalog: Catalog, visibility: Visibility) -> None:
    assert catalog.describe(IMAGE_ID, name=None, visibility=visibility, revision=None, now=NOW)


ROLES = [
    (Caller("alice"), Role.OWNER, Role.OWNER, Role.OWNER),
    (Caller("alice", admin=True), Role.OWNER, Role.OWNER, Role.OWNER),
    (Caller("root", admin=True), Role.ADMIN, Role.ADMIN, Role.ADMIN),
    (Caller("rick", admin=True), Role.ADMIN, Role.ADMIN, Role.ADMIN),
    (Caller("wendy"), Role.STRANGER, Role.WRITER, Role.WRITER),
    (Caller("rick"), Role.STRANGER, Role.READER, Role.READER),
    (Caller("sam"), Role.STRANGER, Role.STRANGER, Role.ANYONE),
    (Caller("Alice"), Role.STRANGER, Role.STRANGER, Role.ANYONE),
    (Caller(""), Role.STRANGER, Role.STRANGER, Role.ANYONE),
    (NOBODY, Role.STRANGER, Role.STRANGER, Role.ANYONE),
]


@pytest.mark.parametrize(("caller", "private", "shared", "public"), ROLES, ids=str)
def test_roles(
    access: Access, catalog: Catalog, caller: Caller, private: Role, shared: Role, public: Role
) -> None:
    found = []
    for visibility in (PRIVATE, SHARED, PUBLIC):
        show(catalog, visibility)
        record = catalog.find(IMAGE_ID)
        assert record is not None
        found.append(access.role_of(caller, record))
    assert found == [private, shared, public]


def test_every_role_has_its_permissions() -> None:
    assert PERMISSIONS.keys() == set(Role)


@pytest.mark.parametrize(
    ("action", "roles"),
    [
        (Action.SHOW, {"owner", "admin", "writer", "reader", "anyone"}),
        (Action.READ, {"owner", "admin", "writer", "reader", "anyone"}),
        (Action.LEASE, {"owner", "admin", "writer", "reader", "anyone"}),
        (Action.WRITE, {"owner", "writer"}),
        (Action.DELETE, {"owner", "admin"}),
        (Action.UPLOAD, {"owner"}),
        (Action.DESCRIBE, {"owner"}),
        (Action.SHARE, {"owner"}),
    ],
)
def test_permissions(action: Action, roles: set[str]) -> None:
    assert {role.value for role, allowed in PERMISSIONS.items() if action in allowed} == roles


def refusal(
    access: Access, caller: Caller, action: Action, image_id: str = IMAGE_ID
) -> type[GatewayError] | None:
    try:
        access.find(image_id, caller, action)
    except GatewayError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("hide", "caller", "action", "foreign", "unknown"),
    [
        (False, Caller("sam"), Action.READ, Forbidden, NotFound),
        (True, Caller("sam"), Action.READ, NotFound, NotFound),
        (True, Caller("rick"), Action.SHARE, Forbidden, NotFound),
        (True, Caller("root", admin=True), Action.UPLOAD, Forbidden, NotFound),
        (False, NOBODY, Action.READ, Unauthenticated, Unauthenticated),
        (True, NOBODY, Action.READ, Unauthenticated, Unauthenticated),
        (True, NOBODY, Action.SHARE, Unauthenticated, Unauthenticated),
    ],
    ids=str,
)
def test_refusals(
    access: Access,
    catalog: Catalog,
    clock: Clock,
    hide: bool,
    caller: Caller,
    action: Action,
    foreign: type[GatewayError],
    unknown: type[GatewayError],
) -> None:
    hiding = Access(catalog, catalog.shares, hide_foreign=hide, remember=0, clock=clock)
    assert refusal(hiding, caller, action) is foreign
    assert refusal(hiding, caller, action, UNKNOWN) is unknown


@pytest.mark.parametrize(
    "image_id", ["", "x", IMAGE_ID + "x", f"{{{IMAGE_ID}}}", IMAGE_ID + "\n", IMAGE_ID.replace("0", "\uff10")]
)
def test_what_is_no_id_names_nothing(access: Access, image_id: str) -> None:
    assert access.look_up(image_id) is None


def test_a_deleted_image_is_found_by_owner_and_admins_for_deleting_again(
    access: Access, catalog: Catalog
) -> None:
    catalog.delete(IMAGE_ID, NOW)
    for caller in (Caller("alice"), Caller("root", admin=True)):
        assert refusal(access, caller, Action.DELETE) is NotFound
        assert access.find_even_deleted(IMAGE_ID, caller, Action.DELETE).state is ImageState.DELETED
    for caller in (Caller("rick"), Caller("sam")):
        with pytest.raises(NotFound):
            access.find_even_deleted(IMAGE_ID, caller, Action.DELETE)


# Leases


LEASE = Lease(
    lease_id="l1",
    image_id=IMAGE_ID,
    version="f" * 16,
    scopes=frozenset({Scope.DISK_READ}),
    holder=Holder(HolderKind.USER, "alice"),
    created_at=NOW,
    ttl_seconds=60,
    expires_at=NOW + timedelta(minutes=1),
    session_ends_at=NOW + timedelta(hours=1),
)


@pytest.mark.parametrize(
    ("changes", "action", "image_id", "expected"),
    [
        ({}, Action.READ, IMAGE_ID, None),
        ({}, Action.READ, IMAGE_ID.upper(), None),
        ({}, Action.READ, UNKNOWN, Forbidden),
        ({"scopes": frozenset({Scope.DISK_WRITE})}, Action.READ, IMAGE_ID, Forbidden),
        ({"version": "e" * 16}, Action.READ, IMAGE_ID, Forbidden),
        *[({}, action, IMAGE_ID, Forbidden) for action in Action if action is not Action.READ],
    ],
    ids=str,
)
def test_what_a_lease_is_for(
    access: Access,
    changes: dict[str, object],
    action: Action,
    image_id: str,
    expected: type[GatewayError] | None,
) -> None:
    caller = Caller(lease=replace(LEASE, **changes))  # type: ignore[arg-type]
    assert refusal(access, caller, action, image_id) is expected


@pytest.mark.parametrize(
    ("holder", "private", "shared", "public"),
    [
        (Holder(HolderKind.USER, "alice"), True, True, True),
        (Holder(HolderKind.USER, "rick"), False, True, True),
        (Holder(HolderKind.USER, "sam"), False, False, True),
        (Holder(HolderKind.ADMIN, "root"), True, True, True),
        (Holder(HolderKind.USER, "root"), False, False, True),
        (Holder(HolderKind.LINK, LINK), False, True, True),
        (Holder(HolderKind.LINK, UNKNOWN), False, False, False),
        (Holder(HolderKind.ANYONE), False, False, True),
    ],
    ids=str,
)
def test_a_lease_holds_while_its_holder_may_read(
    access: Access, catalog: Catalog, holder: Holder, private: bool, shared: bool, public: bool
) -> None:
    caller, found = Caller(lease=replace(LEASE, holder=holder)), []
    for visibility in (PRIVATE, SHARED, PUBLIC):
        show(catalog, visibility)
        refused = refusal(access, caller, Action.READ)
        assert refused in (None, LeaseRevoked)
        found.append(refused is None)
    assert found == [private, shared, public]


def test_a_links_leases_end_with_it(access: Access, catalog: Catalog, clock: Clock) -> None:
    caller = Caller(
        lease=replace(LEASE, holder=Holder(HolderKind.LINK, LINK), expires_at=NOW + timedelta(hours=1))
    )
    clock.now += 3599
    assert refusal(access, caller, Action.READ) is None
    clock.now += 1
    assert refusal(access, caller, Action.READ) is LeaseRevoked
    clock.now -= 1
    catalog.shares.revoke_link(LINK, clock.at())
    assert refusal(access, caller, Action.READ) is LeaseRevoked


@pytest.mark.parametrize(
    ("caller", "role", "holder"),
    [
        (NOBODY, Role.ANYONE, "anyone:"),
        (Caller("rick"), Role.READER, "user:rick"),
        (Caller("sam"), Role.ANYONE, "user:sam"),
        (Caller("root", admin=True), Role.ADMIN, "admin:root"),
        (Caller("alice", admin=True), Role.OWNER, "user:alice"),
        (Caller("a:b"), Role.READER, "user:a:b"),
    ],
)
def test_holders(caller: Caller, role: Role, holder: str) -> None:
    made = holder_of(caller, role)
    assert made.as_text() == holder
    assert Holder.of_text(holder) == made
