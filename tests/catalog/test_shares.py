"""Shares and share links in the catalog: what holds, what is counted, and races."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.catalog.shares import ShareRepository
from image_gateway.domain.images import ListQuery, Visibility
from image_gateway.domain.shares import Permission, Share, ShareLink
from tests.support.records import FREE, IMAGE_ID, NOW, make_record

OTHER = "00000000-0000-4000-8000-000000000002"
LATER = NOW + timedelta(hours=1)
BOB = Share(IMAGE_ID, "bob", Permission.READ, NOW)


def link_of(number: int = 0, image_id: str = IMAGE_ID, at: datetime = NOW) -> ShareLink:
    return ShareLink(f"{number:08d}", image_id, at, expires_at=None, max_uses=None)


LINK, HASH = link_of(), "ab" * 32


@pytest.fixture
def shares(catalog: Catalog) -> ShareRepository:
    for image_id in (IMAGE_ID, OTHER):
        catalog.add(make_record(image_id), FREE)
    return catalog.shares


def visibility(catalog: Catalog, image_id: str = IMAGE_ID) -> tuple[Visibility, int, datetime]:
    record = catalog.find(image_id)
    assert record is not None
    return record.visibility, record.revision, record.updated_at


# Shares


def test_a_share_is_kept_and_removed(shares: ShareRepository) -> None:
    assert shares.find_permission(IMAGE_ID, "bob") is None
    shares.share(BOB)
    assert shares.find_permission(IMAGE_ID, "bob") is Permission.READ
    assert [shares.find_permission(*other) for other in ((OTHER, "bob"), (IMAGE_ID, "Bob"))] == [None, None]
    assert shares.unshare(IMAGE_ID, "bob")
    assert not shares.unshare(IMAGE_ID, "bob")
    assert shares.find_permission(IMAGE_ID, "bob") is None


def test_what_shares_let_a_user_write_is_found(shares: ShareRepository) -> None:
    shares.share(replace(BOB, permission=Permission.WRITE))
    shares.share(replace(BOB, image_id=OTHER))
    assert shares.find_writable([IMAGE_ID, OTHER], "bob") == {IMAGE_ID}
    assert shares.find_writable([OTHER], "bob") == frozenset()
    assert shares.find_writable([IMAGE_ID], "carol") == frozenset()
    assert shares.find_writable([], "bob") == frozenset()


def test_sharing_again_changes_the_permission_alone(shares: ShareRepository) -> None:
    shares.share(BOB)
    shares.share(replace(BOB, permission=Permission.WRITE, created_at=LATER))
    assert shares.list_shares(IMAGE_ID, after="", limit=9) == [replace(BOB, permission=Permission.WRITE)]


def test_the_first_share_or_link_shows_a_private_image(shares: ShareRepository, catalog: Catalog) -> None:
    shares.share(replace(BOB, created_at=LATER))
    assert visibility(catalog) == (Visibility.SHARED, 2, LATER)
    shares.share(replace(BOB, user="eve"))
    assert visibility(catalog) == (Visibility.SHARED, 2, LATER)
    shares.add_link(link_of(1, OTHER, LATER), HASH)
    assert visibility(catalog, OTHER) == (Visibility.SHARED, 2, LATER)


@pytest.mark.parametrize("before", [Visibility.SHARED, Visibility.PUBLIC])
def test_what_is_shown_already_stays_as_it_is(
    shares: ShareRepository, catalog: Catalog, before: Visibility
) -> None:
    catalog.describe(IMAGE_ID, name=None, visibility=before, revision=None, now=NOW)
    shares.share(BOB)
    shares.add_link(LINK, HASH)
    assert visibility(catalog)[:2] == (before, 2)


def test_a_deleted_image_stays_private(shares: ShareRepository, catalog: Catalog) -> None:
    catalog.delete(IMAGE_ID, NOW)
    shares.share(BOB)
    assert visibility(catalog)[0] is Visibility.PRIVATE


def test_shares_in_pages_by_user(shares: ShareRepository) -> None:
    users = ["a", "b", "bob", "c"]
    for user in reversed(users):
        shares.share(replace(BOB, user=user))
    shares.share(replace(BOB, image_id=OTHER, user="elsewhere"))
    first = shares.list_shares(IMAGE_ID, after="", limit=3)
    rest = shares.list_shares(IMAGE_ID, after=first[-1].user, limit=3)
    assert [share.user for share in [*first, *rest]] == users


def test_many_share_at_once(shares: ShareRepository, catalog: Catalog) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(shares.share, [BOB] * 8))
    assert shares.list_shares(IMAGE_ID, after="", limit=9) == [BOB]
    assert visibility(catalog)[:2] == (Visibility.SHARED, 2)


def test_what_is_shared_with_a_user_is_listed(shares: ShareRepository, catalog: Catalog) -> None:
    def listed(user: str) -> list[str]:
        return [record.image_id for record in catalog.list(ListQuery(user, 9, shared=True))]

    for image_id in (IMAGE_ID, OTHER):
        shares.share(replace(BOB, image_id=image_id))
    assert set(listed("bob")) == {IMAGE_ID, OTHER}
    assert listed("alice") == []
    catalog.describe(OTHER, name=None, visibility=Visibility.PRIVATE, revision=None, now=NOW)
    assert listed("bob") == [IMAGE_ID]
    catalog.delete(IMAGE_ID, NOW)
    assert listed("bob") == []


# Links


def test_a_link_is_found_by_its_hash(shares: ShareRepository) -> None:
    made = replace(LINK, expires_at=LATER, max_uses=3)
    shares.add_link(made, HASH)
    assert shares.find_link(LINK.link_id) == shares.find_link_by_token(HASH) == made
    for wrong in ("cd" * 32, HASH.upper(), "", "%"):
        assert shares.find_link_by_token(wrong) is None
    assert shares.find_link("unknown") is None


def test_a_link_survives_a_restart(shares: ShareRepository, database_url: str) -> None:
    shares.add_link(replace(LINK, expires_at=LATER), HASH)
    engine = open_engine(database_url)
    reopened = ShareRepository(engine).find_link(LINK.link_id)
    engine.dispose()
    assert reopened == replace(LINK, expires_at=LATER)


def test_two_links_never_have_one_token(shares: ShareRepository, catalog: Catalog) -> None:
    shares.add_link(LINK, HASH)
    with pytest.raises(IntegrityError):
        shares.add_link(link_of(1, OTHER), HASH)
    assert visibility(catalog, OTHER)[0] is Visibility.PRIVATE


def test_revoking_a_link_is_noted_once(shares: ShareRepository) -> None:
    shares.add_link(LINK, HASH)
    assert shares.revoke_link(LINK.link_id, LATER)
    assert not shares.revoke_link(LINK.link_id, LATER + timedelta(hours=1))
    assert shares.find_link(LINK.link_id) == replace(LINK, revoked_at=LATER)
    assert not shares.revoke_link("unknown", LATER)


def test_links_in_pages_oldest_first_without_revoked_ones(shares: ShareRepository) -> None:
    # Pairs of them at the same moment.
    made = [link_of(number, at=NOW + timedelta(seconds=number // 2)) for number in range(6)]
    for number, link in enumerate(reversed(made)):
        shares.add_link(link, f"{number:064d}")
    shares.add_link(link_of(9, OTHER), HASH)
    shares.revoke_link(made[2].link_id, NOW)
    seen: list[ShareLink] = []
    after = None
    while page := shares.list_links(IMAGE_ID, after=after, limit=2):
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
    shares: ShareRepository, changes: dict[str, object], at: datetime, expected: bool
) -> None:
    made = replace(LINK, **changes)  # type: ignore[arg-type]
    shares.add_link(made, HASH)
    assert made.is_redeemable(at) is expected
    assert shares.use_link(LINK.link_id, at) is expected
    found = shares.find_link(LINK.link_id)
    assert found is not None
    assert found.uses == int(expected)


def test_a_revoked_link_is_not_used(shares: ShareRepository) -> None:
    shares.add_link(LINK, HASH)
    shares.revoke_link(LINK.link_id, NOW)
    assert not shares.use_link(LINK.link_id, NOW)
    assert not shares.use_link("unknown", NOW)


@pytest.mark.parametrize("uses", [1, 5, None])
def test_uses_are_exact_among_many(shares: ShareRepository, uses: int | None) -> None:
    shares.add_link(replace(LINK, max_uses=uses), HASH)
    with ThreadPoolExecutor(8) as pool:
        used = list(pool.map(lambda _: shares.use_link(LINK.link_id, NOW), range(16)))
    found = shares.find_link(LINK.link_id)
    assert found is not None
    assert used.count(True) == found.uses == (16 if uses is None else uses)


def test_a_link_is_not_used_after_it_was_revoked_by_another(shares: ShareRepository) -> None:
    shares.add_link(LINK, HASH)

    def act(number: int) -> bool:
        return shares.revoke_link(LINK.link_id, NOW) if number == 8 else shares.use_link(LINK.link_id, NOW)

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(act, range(16)))
    found = shares.find_link(LINK.link_id)
    assert found is not None
    assert found.uses == done.count(True) - 1
    assert found.revoked_at == NOW
    assert not shares.use_link(LINK.link_id, NOW)


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
