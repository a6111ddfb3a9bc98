"""Runs `publish` and `verify` jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import ImageRecord, ImageState
from image_gateway.errors import StoreUnavailable
from image_gateway.services.jobs.job_run import ClaimLost, JobRun
from image_gateway.services.publishing import Publishing
from image_gateway.services.verify_report import VerifyReport
from image_gateway.services.verify_sources import StoreSource
from image_gateway.services.verifying import verify
from image_gateway.storage.objects import ObjectStore

# Chunks of one job that are read or written at the same time, each in memory.
PARALLEL_CHUNKS = 3
# Problems of a verification that the job's result lists.
LISTED_PROBLEMS = 100


class PublishingJobs:
    """Publishes images. A run that was interrupted keeps the chunks that the store has."""

    def __init__(self, catalog: Catalog, publishing: Publishing, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._publishing = publishing
        self._clock = clock

    def run(self, run: JobRun) -> bool:
        """Publish, and end the job. Return False when the claim was lost."""
        params = run.job.params
        run.start(self._publishing.size_of(run.job.image_id))
        published = self._publishing.publish(
            run.job.image_id,
            chunk_size=params["chunkSize"],
            parallel=PARALLEL_CHUNKS,
            on_bytes=run.advance,
            # Without the option an image that is published already keeps its own.
            checksum=None if params["checksum"] else "none",
        )
        result = {
            "chunks": published.geometry.count,
            "chunkSize": published.geometry.chunk_size,
            "sent": published.sent,
            "kept": published.kept,
            "sha256": published.disk_sha256,
        }
        return self._catalog.jobs.finish(run.job, now_of(self._clock), result)


class VerifyingJobs:
    """Verifies the stored chunks of published images."""

    def __init__(self, catalog: Catalog, store: ObjectStore, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._store = store
        self._clock = clock

    def run(self, run: JobRun) -> bool:
        """Verify, and end the job, as failed if something is wrong. Return False when the claim was lost."""
        record = self._catalog.find(run.job.image_id)
        if record is None or record.state is not ImageState.COMPLETE:
            raise ClaimLost
        report = self._verify(record, run)
        now, result = now_of(self._clock), _result_of(report)
        if report.unreadable:
            raise StoreUnavailable(f"{len(report.unreadable)} objects could not be read")
        if report.problems:
            text = f"{len(report.problems) + report.omitted} problems, the first: {report.problems[0]}"
            return self._catalog.jobs.fail(run.job, now, "VERIFICATION_FAILED", text, result)
        return self._catalog.jobs.finish(run.job, now, result)

    def _verify(self, record: ImageRecord, run: JobRun) -> VerifyReport:
        params = run.job.params
        return verify(
            StoreSource(self._store, record.location.prefix),
            sample=params["sample"],
            seed=params["seed"] or 0,
            keep_going=True,
            parallel=PARALLEL_CHUNKS,
            on_bytes=run.advance,
            on_total=run.start,
            image_id=record.image_id,
            sha256=record.sha256,
        )


def _result_of(report: VerifyReport) -> dict[str, Any]:
    return {
        "checkedChunks": report.checked_chunks,
        "chunks": report.chunk_count,
        "checkedBytes": report.checked_bytes,
        "diskCompared": report.disk_compared,
        "problems": [str(problem) for problem in report.problems[:LISTED_PROBLEMS]],
    }
