"""What sweeps of a test's world leave, and the clock of their sweeper."""

from __future__ import annotations

from datetime import timedelta

from tests.support.world import World

HOUR = 3600
WEEK = timedelta(days=7)


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        import time

        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def uploads(world: World) -> list[str]:
    return [upload.key for upload in world.store.list_uploads("")]


def objects(world: World) -> list[str]:
    return [item.key for item in world.store.list_objects("")]


def events(world: World, image_id: str) -> list[tuple[str, str | None]]:
    found = world.catalog.audit_entries.list(image_id, after=None, limit=100)
    return [(entry.event, entry.user) for entry in found]
