"""Worker factory: creates and wires what runs background jobs."""

from __future__ import annotations

import time
from datetime import timedelta

from image_gateway.components import fetch_rules, open_catalog, open_store, upload_rules
from image_gateway.domain.jobs import Job, JobKind
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.jobs.compacting import Compacting
from image_gateway.services.jobs.converting import Converting
from image_gateway.services.jobs.disk_writing import DiskRules
from image_gateway.services.jobs.flattening import Flattening
from image_gateway.services.jobs.importing import Importing
from image_gateway.services.jobs.published import PublishingJobs, VerifyingJobs
from image_gateway.services.jobs.worker import Handler, Worker
from image_gateway.services.publishing import Publishing
from image_gateway.services.purging import Purger
from image_gateway.settings import Settings


def make_worker(settings: Settings) -> Worker:
    """Return a worker for all kinds of jobs, without connecting; SettingsError as for `open_catalog`."""
    catalog, store, clock = open_catalog(settings), open_store(settings), time.time
    uploads = upload_rules(settings)
    rules = DiskRules(
        max_size=settings.s3_max_object_bytes,
        quota=uploads.quota,
        cache_control=settings.cache_control,
        keep_sources=settings.keep_source_objects,
        hashed_at_completion=settings.sha256_check_max_bytes,
    )
    publishing = Publishing(catalog, store, settings.cache_control, clock, latest=settings.publish_latest)
    flattening = Flattening(catalog, store, rules, clock)
    handlers: dict[JobKind, Handler] = {
        JobKind.COMPACT: Compacting(catalog, store, clock).run,
        JobKind.CONVERT: Converting(catalog, store, rules, clock).run,
        JobKind.FLATTEN: flattening.run,
        JobKind.IMPORT: Importing(catalog, store, rules, fetch_rules(settings), clock).run,
        JobKind.PUBLISH: PublishingJobs(catalog, publishing, clock).run,
        JobKind.VERIFY: VerifyingJobs(catalog, store, clock).run,
    }
    lifetime = timedelta(seconds=settings.worker_claim_seconds)
    purger = Purger(catalog, store, clock)

    def clean_up(job: Job) -> None:
        purger.purge_if_ended(job.image_id)
        if job.kind is JobKind.FLATTEN:
            flattening.clean_up(job)

    return Worker(
        catalog.jobs,
        handlers,
        clock,
        lifetime,
        clean_up=clean_up,
        on_end=AuditTrail(catalog.audit_entries, clock).note_end,
    )
