"""Shares and share links in the catalog: what holds, what is counted, and races."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.grant_records import Permission, Share, ShareLink
from image_gateway.catalog.grants import Grants
from image_gateway.catalog.records import ListQuery, Visibility
from image_gateway.catalog.repository import Catalog
from tests.support.records import FREE, IMAGE_ID, NOW, make_record

OTHER = "00000000-0000-4000-8000-000000000002"
LATER = NOW + timedelta(hours=1)
BOB = Share(IMAGE_ID, "bob", Permission.READ, NOW)


def link_of(number: int = 0, image_id: str = IMAGE_ID, at: datetime = NOW) -> ShareLink:
    return ShareLink(f"{number:08d}", image_id, at, expires_at=None, max_uses=None)


LINK, HASH = link_of(), "ab" * 32


@pytest.fixture
def grants(catalog: Catalog) -> Grants:
    for image_id in (IMAGE_ID, OTHER):
        catalog.add(make_record(image_id), FREE)
    return catalog.grants


def visibility(catalog: Catalog, image_id: str = IMAGE_ID) -> tuple[Visibility, int, datetime]:
    record = catalog.find(image_id)
    assert record is not None
    return record.visibility, record.revision, record.updated_at


# Shares


def test_a_share_is_kept_and_removed(grants: Grants) -> None:
    assert grants.find_permission(IMAGE_ID, "bob") is None
    grants.share(BOB)
    assert grants.find_permission(IMAGE_ID, "bob") is Permission.READ
    assert [grants.find_permission(*other) for other in ((OTHER, "bob"), (IMAGE_ID, "Bob"))] == [None, None]
    assert grants.unshare(IMAGE_ID, "bob")
    assert not grants.unshare(IMAGE_ID, "bob")
    assert grants.find_permission(IMAGE_ID, "bob") is None


def test_sharing_again_changes_the_permission_alone(grants: Grants) -> None:
    grants.share(BOB)
    grants.share(replace(BOB, permission=Permission.WRITE, created_at=LATER))
    assert grants.list_shares(IMAGE_ID, after="", limit=9) == [replace(BOB, permission=Permission.WRITE)]


def test_the_first_share_or_link_shows_a_private_image(grants: Grants, catalog: Catalog) -> None:
    grants.share(replace(BOB, created_at=LATER))
    assert visibility(catalog) == (Visibility.SHARED, 2, LATER)
    grants.share(replace(BOB, user="eve"))
    assert visibility(catalog) == (Visibility.SHARED, 2, LATER)
    grants.add_link(link_of(1, OTHER, LATER), HASH)
    assert visibility(catalog, OTHER) == (Visibility.SHARED, 2, LATER)


@pytest.mark.parametrize("before", [Visibility.SHARED, Visibility.PUBLIC])
def test_what_is_shown_already_stays_as_it_is(grants: Grants, catalog: Catalog, before: Visibility) -> None:
    catalog.describe(IMAGE_ID, name=None, visibility=before, revision=None, now=NOW)
    grants.share(BOB)
    grants.add_link(LINK, HASH)
    assert visibility(catalog)[:2] == (before, 2)


def test_a_deleted_image_stays_private(grants: Grants, catalog: Catalog) -> None:
    catalog.delete(IMAGE_ID, NOW)
    grants.share(BOB)
    assert visibility(catalog)[0] is Visibility.PRIVATE


def test_shares_in_pages_by_user(grants: Grants) -> None:
    users = ["a", "b", "bob", "c"]
    for user in reversed(users):
        grants.share(replace(BOB, user=user))
    grants.share(replace(BOB, image_id=OTHER, user="elsewhere"))
    first = grants.list_shares(IMAGE_ID, after="", limit=3)
    rest = grants.list_shares(IMAGE_ID, after=first[-1].user, limit=3)
    assert [share.user for share in [*first, *rest]] == users


def test_many_share_at_once(grants: Grants, catalog: Catalog) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(grants.share, [BOB] * 8))
    assert grants.list_shares(IMAGE_ID, after="", limit=9) == [BOB]
    assert visibility(catalog)[:2] == (Visibility.SHARED, 2)


def test_what_is_shared_with_a_user_is_listed(grants: Grants, catalog: Catalog) -> None:
    def listed(user: str) -> list[str]:
        return [record.image_id for record in catalog.list(ListQuery(user, 9, shared=True))]

    for image_id in (IMAGE_ID, OTHER):
        grants.share(replace(BOB, image_id=image_id))
    assert set(listed("bob")) == {IMAGE_ID, OTHER}
    assert listed("alice") == []
    catalog.describe(OTHER, name=None, visibility=Visibility.PRIVATE, revision=None, now=NOW)
    assert listed("bob") == [IMAGE_ID]
    catalog.delete(IMAGE_ID, NOW)
    assert listed("bob") == []


# Links


def test_a_link_is_found_by_its_hash(grants: Grants) -> None:
    made = replace(LINK, expires_at=LATER, max_uses=3)
    grants.add_link(made, HASH)
    assert grants.find_link(LINK.link_id) == grants.find_link_by_token(HASH) == made
    for wrong in ("cd" * 32, HASH.upper(), "", "%"):
        assert grants.find_link_by_token(wrong) is None
    assert grants.find_link("unknown") is None


def test_a_link_survives_a_restart(grants: Grants, database_url: str) -> None:
    grants.add_link(replace(LINK, expires_at=LATER), HASH)
    engine = open_engine(database_url)
    reopened = Grants(engine).find_link(LINK.link_id)
    engine.dispose()
    assert reopened == replace(LINK, expires_at=LATER)


def test_two_links_never_have_one_token(grants: Grants, catalog: Catalog) -> None:
    grants.add_link(LINK, HASH)
    with pytest.raises(IntegrityError):
        grants.add_link(link_of(1, OTHER), HASH)
    assert visibility(catalog, OTHER)[0] is Visibility.PRIVATE


def test_revoking_a_link_is_noted_once(grants: Grants) -> None:
    grants.add_link(LINK, HASH)
    assert grants.revoke_link(LINK.link_id, LATER)
    assert not grants.revoke_link(LINK.link_id, LATER + timedelta(hours=1))
    assert grants.find_link(LINK.link_id) == replace(LINK, revoked_at=LATER)
    assert not grants.revoke_link("unknown", LATER)


def test_links_in_pages_oldest_first_without_revoked_ones(grants: Grants) -> None:
    # Pairs of them at the same moment.
    made = [link_of(number, at=NOW + timedelta(seconds=number // 2)) for number in range(6)]
    for number, link in enumerate(reversed(made)):
        grants.add_link(link, f"{number:064d}")
    grants.add_link(link_of(9, OTHER), HASH)
    grants.revoke_link(made[2].link_id, NOW)
    seen: list[ShareLink] = []
    after = None
    while page := grants.list_links(IMAGE_ID, after=after, limit=2):
        seen += page
        after = (page[-1].created_at, page[-1].link_id)
    assert seen == [*made[:2], *made[3:]]


@pytest.mark.parametrize(
    ("changes", "at", "expected"),
    [
        ({}, LATER, True),
        ({"expires_at": LATER}, LATER - timedelta(microseconds=1), True),
        ({"expires_at": LATER}, LATER, False),
        ({"max_uses": 1}, NOW, True),
        ({"max_uses": 0}, NOW, False),
    ],
    ids=str,
)
def test_whether_a_link_can_be_used(
    grants: Grants, changes: dict[str, object], at: datetime, expected: bool
) -> None:
    made = replace(LINK, **changes)  # type: ignore[arg-type]
    grants.add_link(made, HASH)
    assert made.is_redeemable(at) is expected
    assert grants.use_link(LINK.link_id, at) is expected
    found = grants.find_link(LINK.link_id)
    assert found is not None
    assert found.uses == int(expected)


def test_a_revoked_link_is_not_used(grants: Grants) -> None:
    grants.add_link(LINK, HASH)
    grants.revoke_link(LINK.link_id, NOW)
    assert not grants.use_link(LINK.link_id, NOW)
    assert not grants.use_link("unknown", NOW)


@pytest.mark.parametrize("uses", [1, 5, None])
def test_uses_are_exact_among_many(grants: Grants, uses: int | None) -> None:
    grants.add_link(replace(LINK, max_uses=uses), HASH)
    with ThreadPoolExecutor(8) as pool:
        used = list(pool.map(lambda _: grants.use_link(LINK.link_id, NOW), range(16)))
    found = grants.find_link(LINK.link_id)
    assert found is not None
    assert used.count(True) == found.uses == (16 if uses is None else uses)


def test_a_link_is_not_used_after_it_was_revoked_by_another(grants: Grants) -> None:
    grants.add_link(LINK, HASH)

    def act(number: int) -> bool:
        return grants.revoke_link(LINK.link_id, NOW) if number == 8 else grants.use_link(LINK.link_id, NOW)

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(act, range(16)))
    found = grants.find_link(LINK.link_id)
    assert found is not None
    assert found.uses == done.count(True) - 1
    assert found.revoked_at == NOW
    assert not grants.use_link(LINK.link_id, NOW)


@pytest.mark.parametrize(
    ("link", "at", "holds", "redeemable"),
    [
        (LINK, LATER, True, True),
        (replace(LINK, expires_at=LATER), NOW, True, True),
        (replace(LINK, expires_at=LATER), LATER, False, False),
        (replace(LINK, revoked_at=NOW), NOW, False, False),
        (replace(LINK, max_uses=1), NOW, True, True),
        (replace(LINK, max_uses=1, uses=1), NOW, True, False),
    ],
)
def test_uses_limit_redemptions_not_leases(
    link: ShareLink, at: datetime, holds: bool, redeemable: bool
) -> None:
    assert (link.holds(at), link.is_redeemable(at)) == (holds, redeemable)
