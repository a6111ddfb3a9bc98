"""One trace for each image, and none for what is not complete."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import update

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.models import BootTraceRow
from image_gateway.catalog.repository import Catalog
from image_gateway.protocol.boot_trace import BLOCK_SIZE, BootTrace, trace_reads
from tests.support.records import DISK, FREE, IMAGE_ID, NOW, make_record

VERSION = make_record().version
FIRST, SECOND = BootTrace(((7, 2), (0, 1))), BootTrace(((1, 1),))


@pytest.fixture
def complete(catalog: Catalog) -> Catalog:
    catalog.add(make_record(), FREE)
    catalog.complete(IMAGE_ID, "u1", DISK, NOW)
    return catalog


def test_a_trace_is_stored_replaced_and_removed(complete: Catalog) -> None:
    traces = complete.boot_traces
    assert traces.find(IMAGE_ID, VERSION) is None
    for trace in (FIRST, SECOND, FIRST):
        assert traces.replace(IMAGE_ID, VERSION, trace, NOW)
        assert traces.find(IMAGE_ID, VERSION) == trace
    assert traces.find(IMAGE_ID, "0" * 16) is None
    assert traces.delete(IMAGE_ID)
    assert not traces.delete(IMAGE_ID)
    assert traces.find(IMAGE_ID, VERSION) is None


def test_only_complete_images_have_one(catalog: Catalog) -> None:
    traces = catalog.boot_traces
    assert not traces.replace(IMAGE_ID, VERSION, FIRST, NOW)
    catalog.add(make_record(), FREE)
    assert not traces.replace(IMAGE_ID, VERSION, FIRST, NOW)
    catalog.complete(IMAGE_ID, "u1", DISK, NOW)
    assert not traces.replace(IMAGE_ID, "0" * 16, FIRST, NOW)
    assert traces.replace(IMAGE_ID, VERSION, FIRST, NOW)
    catalog.delete(IMAGE_ID, NOW)
    assert not traces.replace(IMAGE_ID, VERSION, SECOND, NOW)
    assert traces.find(IMAGE_ID, VERSION) == FIRST


def test_the_largest_trace_fits(complete: Catalog) -> None:
    scattered = trace_reads((2 * n * BLOCK_SIZE, 2 * n * BLOCK_SIZE + 1) for n in range(65_536))
    assert complete.boot_traces.replace(IMAGE_ID, VERSION, scattered, NOW)
    assert complete.boot_traces.find(IMAGE_ID, VERSION) == scattered


def test_a_damaged_row_is_no_trace(
    complete: Catalog, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert complete.boot_traces.replace(IMAGE_ID, VERSION, FIRST, NOW)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(update(BootTraceRow).values(blocks="[[0"))
    engine.dispose()
    with caplog.at_level(logging.ERROR):
        assert complete.boot_traces.find(IMAGE_ID, VERSION) is None
    assert IMAGE_ID in caplog.text
