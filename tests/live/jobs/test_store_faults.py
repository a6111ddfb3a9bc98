"""A job over a store that refuses one operation: the disk is right in the end, or nothing is left of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import ImageState, Quota, Usage
from image_gateway.domain.jobs import Job, JobKind, JobState, new_job
from image_gateway.local.seaweed import LocalStore
from image_gateway.services.jobs import object_upload
from image_gateway.services.jobs.converting import Converting
from image_gateway.services.jobs.disk_writing import DiskRules
from image_gateway.services.jobs.worker import Worker
from image_gateway.services.new_images import NewImage, UploadRules, draft_image
from image_gateway.services.purging import Purger
from image_gateway.storage.client import StoreClients
from image_gateway.storage.objects import ObjectStore
from tests.support.aws_shape import AwsShape, Canned, aws_shape

pytestmark = pytest.mark.thorough
MIB = 1024 * 1024
SIZE = 10 * MIB + 512
# The requests of the SDK in one call.
TRIES = 3
FOREVER = 10**6

FAULTS = {
    "slow down": Canned(503, "SlowDown"),
    "internal error": Canned(500, "InternalError"),
    "expired token": Canned(400, "ExpiredToken"),
    "access denied": Canned(403, "AccessDenied", close=True),
    "no document": Canned(404),
    "error in 200": Canned(200, "InternalError"),
}
OPERATIONS = ("Create", "Put", "Copy", "UploadPart", "List", "Complete", "Head", "Delete")
# Only these answers may be an error in spite of their status.
WITH_BODY = ("Create", "Copy", "List", "Complete")
CASES = [
    (operation, fault)
    for operation in OPERATIONS
    for fault in FAULTS
    if fault != "error in 200" or operation in WITH_BODY
]


def operation_of(method: str, target: str, headers: Mapping[str, str]) -> str:
    query = parse_qs(urlsplit(target).query, keep_blank_values=True)
    if "partNumber" in query:
        return "Copy" if "x-amz-copy-source" in headers else "UploadPart"
    if method == "POST" and "delete" not in query:
        return "Create" if "uploads" in query else "Complete"
    if method == "GET" and "uploadId" in query:
        return "List"
    return {"PUT": "Put", "HEAD": "Head", "DELETE": "Delete"}.get(method, "other")


@dataclass
class Scene:
    """An empty disk, whose job uses every operation, and a worker of this process."""

    catalog: Catalog
    clients: StoreClients
    store: ObjectStore
    shape: AwsShape
    owner: str
    image_id: str
    job_id: str
    worker: Worker
    now: float

    def run(self) -> Job:
        # After every wait and claim.
        self.now += 3600
        assert self.worker.run_one()
        job = self.catalog.jobs.find(self.job_id)
        assert job is not None
        return job

    def refuse(self, operation: str, canned: Canned, times: int) -> None:
        """Answer so many requests of the operation by the fault."""
        left = [times]

        def script(method: str, target: str, headers: Mapping[str, str]) -> Canned | None:
            if left[0] and operation_of(method, target, headers) == operation:
                left[0] -= 1
                return canned
            return None

        self.shape.script = script

    def check_done(self) -> None:
        record = self.catalog.find(self.image_id)
        assert record is not None
        assert record.disk is not None
        client, bucket = self.clients.requests, self.clients.address.bucket
        with client.get_object(Bucket=bucket, Key=record.location.disk_key)["Body"] as body:
            assert body.read() == bytes(SIZE)
        names = {
            item.key.rpartition("/")[2] for item in self.store.list_objects(record.location.image_prefix)
        }
        assert names == {"disk.img", "zeros"}
        assert list(self.store.list_uploads(record.location.image_prefix)) == []
        assert self.catalog.usage(self.owner) == Usage(1, SIZE)


@pytest.fixture(scope="module")
def shape(store: LocalStore) -> Iterator[AwsShape]:
    address = urlsplit(store.address.endpoint or "")
    with aws_shape((address.hostname or "", address.port or 0)) as made:
        yield made


@pytest.fixture
def scene(
    store: LocalStore, shape: AwsShape, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    monkeypatch.setattr(object_upload, "PART_SIZE", 5 * MIB)
    engine = open_engine(own_database)
    catalog = Catalog(engine)
    clients = StoreClients(replace(store.address, endpoint=shape.url))
    objects = ObjectStore(clients)
    owner = f"user-{uuid4()}"
    rules = UploadRules("/images", 5 * MIB, 2**40, "no-store", 3600, 86_400, 86_400, Quota())
    made = Scene(catalog, clients, objects, shape, owner, "", "", None, 1.8e9)  # type: ignore[arg-type]
    clock = lambda: made.now  # noqa: E731
    record = draft_image(owner, NewImage(size=SIZE), rules, now_of(clock), ImageState.PROCESSING)
    job = new_job(record.image_id, JobKind.CONVERT, now_of(clock))
    catalog.jobs.add_with_image(record, job, Quota())
    made.image_id, made.job_id = record.image_id, job.job_id
    disks = DiskRules(2**40, Quota(), "no-store", keep_sources=False, hashed_at_completion=0)
    purger = Purger(catalog, objects, clock)
    made.worker = Worker(
        catalog.jobs,
        {JobKind.CONVERT: Converting(catalog, objects, disks, clock).run},
        clock,
        timedelta(minutes=1),
        clean_up=lambda ended: purger.purge_if_ended(ended.image_id),
    )
    yield made
    shape.script, shape.loses = (lambda *_: None), (lambda *_: False)
    clients.requests.close()
    engine.dispose()


@pytest.mark.parametrize(("operation", "fault"), CASES)
def test_a_refusal_that_passes_costs_an_attempt_at_most(scene: Scene, operation: str, fault: str) -> None:
    canned = FAULTS[fault]
    # The SDK does not try again after a 4xx, but the worker does.
    scene.refuse(operation, canned, 1 if 400 <= canned.status < 500 else TRIES)
    states = [scene.run().state]
    while states[-1] is JobState.QUEUED:
        states.append(scene.run().state)
    assert states[-1] is JobState.DONE, states
    assert len(states) <= 2
    scene.check_done()


@pytest.mark.parametrize("operation", ["Create", "Put", "Copy", "UploadPart", "List", "Complete"])
def test_a_refusal_that_stays_fails_the_job_and_leaves_nothing(scene: Scene, operation: str) -> None:
    scene.refuse(operation, FAULTS["access denied"], FOREVER)
    jobs = [scene.run()]
    while jobs[-1].is_active:
        jobs.append(scene.run())
        assert len(jobs) < 9
    assert (jobs[-1].state, jobs[-1].error_code) == (JobState.FAILED, "S3_ERROR")
    record = scene.catalog.find(scene.image_id)
    assert record is not None
    assert record.purged_at is not None
    assert list(scene.store.list_objects(record.location.image_prefix)) == []
    assert list(scene.store.list_uploads(record.location.image_prefix)) == []
    assert scene.catalog.usage(scene.owner) == Usage(0, 0)


@pytest.mark.parametrize("operation", ["Create", "Put", "Copy", "UploadPart", "Complete", "Delete"])
def test_a_lost_answer_does_not_fail_the_job(scene: Scene, operation: str) -> None:
    left = [1]

    def loses(method: str, target: str) -> bool:
        # Without headers a copied part looks like one that was sent.
        found = operation_of(method, target, {})
        if left[0] and found == ("UploadPart" if operation == "Copy" else operation):
            left[0] -= 1
            return True
        return False

    scene.shape.loses = loses
    job = scene.run()
    assert job.state is JobState.DONE
    scene.shape.loses = lambda *_: False
    record = scene.catalog.find(scene.image_id)
    assert record is not None
    orphans = list(scene.store.list_uploads(record.location.image_prefix))
    if operation == "Create":
        # The sweeper aborts it when the image is complete.
        assert len(orphans) == 1
        scene.store.abort_upload(orphans[0].key, orphans[0].upload_id)
    scene.check_done()
