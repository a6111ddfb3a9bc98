"""Makes images of deltas by requests and a worker."""

from __future__ import annotations

import time

from image_gateway.domain.images import DiskFacts, ImageState, Quota
from image_gateway.domain.jobs import Job, JobKind
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.deltas.flattening import DeltaFlattening
from image_gateway.services.jobs.disk_writing import DiskRules
from image_gateway.services.jobs.flattening import Flattening
from image_gateway.services.jobs.worker import Worker
from image_gateway.services.new_images import UploadRules
from tests.support.delta_world import DeltaWorld
from tests.support.swept_world import Clock


def make_flattening(delta_world: DeltaWorld, quota: Quota | None = None) -> DeltaFlattening:
    """Return the service of requests."""
    world, services = delta_world.world, delta_world.services
    rules = UploadRules("/images", 16 << 20, 1 << 40, "private", 600, 3600, 7200, quota or Quota())
    trail = AuditTrail(world.catalog.audit_entries, time.time)
    return DeltaFlattening(world.catalog, services.access, services.history, rules, trail, time.time)


def flatten(delta_world: DeltaWorld, job: Job, attempts: int = 1) -> Job:
    """Run the worker, and return the job as it is then."""
    catalog, store = delta_world.world.catalog, delta_world.world.store
    rules = DiskRules(1 << 40, Quota(), "private, max-age=60", keep_sources=False, hashed_at_completion=0)
    flattening = Flattening(catalog, store, rules, time.time)
    clock = Clock()
    worker = Worker(catalog.jobs, {JobKind.FLATTEN: flattening.run}, clock, clean_up=flattening.clean_up)
    for _ in range(attempts):
        worker.run_one()
        clock.now += 60
    ended = catalog.jobs.find(job.job_id)
    assert ended is not None
    return ended


def disk_of(delta_world: DeltaWorld, image_id: str) -> bytes:
    """Return the object of a complete image."""
    record = delta_world.world.catalog.find(image_id)
    assert record is not None
    assert record.state is ImageState.COMPLETE
    assert isinstance(record.disk, DiskFacts)
    return delta_world.world.store.open(record.location.disk_key).body.read_all()
