"""What owners use: reserved, settled and given back, never beyond a limit however many ask at once."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import Quota, Usage
from image_gateway.errors import QuotaExceeded
from tests.support.records import DISK, FREE, IMAGE_ID, NOW, make_record

SECOND = IMAGE_ID[:-1] + "2"


@pytest.mark.parametrize(
    ("quota", "size", "text"),
    [
        (Quota(images=1), 0, "at most 1 images are allowed and 1 are there"),
        (Quota(bytes=150), 51, "at most 150 bytes are allowed, 100 are in use and 51 more"),
        (Quota(bytes_per_image=99), 100, "at most 99 bytes; this one has 100"),
    ],
)
def test_a_limit_refuses_and_changes_nothing(catalog: Catalog, quota: Quota, size: int, text: str) -> None:
    catalog.add(make_record(reserved_bytes=100), FREE)
    with pytest.raises(QuotaExceeded, match=text):
        catalog.add(make_record(SECOND, reserved_bytes=size), quota)
    assert catalog.usage("alice") == Usage(1, 100)
    assert catalog.find(SECOND) is None


def test_a_limit_may_be_reached(catalog: Catalog) -> None:
    quota = Quota(images=2, bytes=150, bytes_per_image=100)
    catalog.add(make_record(reserved_bytes=100), quota)
    catalog.add(make_record(SECOND, reserved_bytes=50), quota)
    assert catalog.usage("alice") == Usage(2, 150)
    assert catalog.usage("bob") == Usage(0, 0)


def test_an_upload_is_settled_by_its_real_size(catalog: Catalog) -> None:
    catalog.add(make_record(), FREE)
    assert catalog.settle(IMAGE_ID, 70, Quota(bytes=100))
    assert catalog.settle(IMAGE_ID, 80, Quota(bytes=100))
    with pytest.raises(QuotaExceeded):
        catalog.settle(IMAGE_ID, 101, Quota(bytes=100))
    with pytest.raises(QuotaExceeded):
        catalog.settle(IMAGE_ID, 90, Quota(bytes_per_image=89))
    assert catalog.usage("alice") == Usage(1, 80)
    assert catalog.settle(IMAGE_ID, 10, Quota(bytes=5, images=0)) is True
    assert catalog.usage("alice") == Usage(1, 10)


def test_a_settled_image_is_given_back_once(catalog: Catalog) -> None:
    catalog.add(make_record(reserved_bytes=70), FREE)
    catalog.add(make_record(SECOND, reserved_bytes=30), FREE)
    assert catalog.fail(IMAGE_ID, "u1", NOW)
    assert catalog.usage("alice") == Usage(1, 30)
    assert catalog.delete(IMAGE_ID, NOW)
    assert not catalog.delete(IMAGE_ID, NOW)
    assert catalog.usage("alice") == Usage(1, 30)
    catalog.complete(SECOND, "u1", replace(DISK, size=30), NOW)
    assert catalog.delete(SECOND, NOW)
    assert catalog.usage("alice") == Usage(0, 0)
    assert not catalog.settle(SECOND, 5, FREE)


def test_an_upload_fails_by_expiry_only_when_it_is_over(catalog: Catalog) -> None:
    catalog.add(make_record(), FREE)
    over = make_record().plan.expires_at
    assert not catalog.fail(IMAGE_ID, "u1", NOW, expired_by=over - timedelta(seconds=1))
    catalog.prolong_upload(IMAGE_ID, over + timedelta(days=1))
    assert not catalog.fail(IMAGE_ID, "u1", NOW, expired_by=over)
    assert catalog.fail(IMAGE_ID, "u1", NOW, expired_by=over + timedelta(days=1))


@pytest.mark.parametrize("quota", [Quota(images=20), Quota(bytes=20 * 7)], ids=["images", "bytes"])
def test_thirty_two_threads_create_against_a_quota_of_twenty(catalog: Catalog, quota: Quota) -> None:
    def create(_: int) -> bool:
        try:
            catalog.add(make_record(str(uuid.uuid4()), reserved_bytes=7), quota)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        created = list(pool.map(create, range(32)))
    assert created.count(True) == 20
    assert catalog.usage("alice") == Usage(20, 140)
