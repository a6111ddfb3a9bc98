"""The calls of the catalog that a sweep and the metrics make."""

from __future__ import annotations

from collections.abc import Callable

from catalog_arguments import NOW, OLD_JOBS, SOON, WEEK, Arguments, Call
from catalog_delta_calls import FORGETS, delta_sweeps
from catalog_dialects import START

from image_gateway.catalog.repository import Catalog


def sweeps(given: Arguments, batch: int) -> list[Call]:
    catalog, middle = given.catalog, "80000000"
    return [
        Call("expired uploads", lambda _: catalog.find_expired(SOON + WEEK, after=None, limit=batch)),
        Call(
            "expired uploads, next page",
            lambda _: catalog.find_expired(SOON + WEEK, after=(START + WEEK, ""), limit=batch),
        ),
        Call("unpurged images", lambda _: catalog.find_unpurged(after="", limit=batch)),
        Call("complete images", lambda _: catalog.find_complete(after="", limit=batch)),
        Call("complete images, in the middle", lambda _: catalog.find_complete(after=middle, limit=batch)),
        Call(
            "records of a page of prefixes",
            catalog.find_many,
            lambda turn: [given.image_id(turn + number) for number in range(batch)],
        ),
        *(old for name, book in old_rows(catalog).items() for old in forgetting(name, book, batch)),
        Call("forget jobs", lambda _: catalog.jobs.forget(OLD_JOBS, limit=batch), most_turns=FORGETS),
        Call("forget writers", lambda _: catalog.writers.forget(START), most_turns=1),
        Call("requeue lost jobs", lambda _: catalog.jobs.requeue_lost(NOW)),
        Call("jobs of ended images", lambda _: catalog.jobs.find_images_ended(limit=batch)),
        *delta_sweeps(given, batch),
    ]


def old_rows(catalog: Catalog) -> dict[str, tuple[Callable[..., int], Callable[..., int]]]:
    return {
        "leases": (catalog.leases.count_old, catalog.leases.forget),
        "sessions": (catalog.sessions.count_expired, catalog.sessions.forget),
        "audit entries": (catalog.audit_entries.count_old, catalog.audit_entries.forget),
    }


def forgetting(name: str, book: tuple[Callable[..., int], Callable[..., int]], batch: int) -> list[Call]:
    count, forget = book
    return [
        Call(f"count old {name}", lambda _: count(START)),
        Call(f"forget {name}", lambda _: forget(START, limit=batch), most_turns=FORGETS),
    ]


def metrics(given: Arguments) -> list[Call]:
    catalog = given.catalog
    return [
        Call("open uploads", lambda _: catalog.open_uploads()),
        Call("jobs by kind and state", lambda _: catalog.jobs.count()),
    ]
