"""After the catalog was restored from a backup: makes records and bucket agree again (ADR 30)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.audit import AuditEvent
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import (
    DiskFacts,
    ImageRecord,
    ImageState,
    Kind,
    Quota,
    UploadPlan,
    Visibility,
)
from image_gateway.errors import InvalidState
from image_gateway.protocol.layout import ImageLocation, image_of_prefix, owner_key
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.deltas.restoring import DeltaRestoring
from image_gateway.services.published_objects import PublishedObjects
from image_gateway.storage.listings import ListedObject
from image_gateway.storage.objects import ObjectStore

PAGE = 500


@dataclass(frozen=True)
class UnknownDisk:
    """A disk in the bucket that no record knows; `owner` is None if no record names the owner of its key."""

    key: str
    size: int
    last_modified: datetime
    image_id: str
    version: str
    owner: str | None


@dataclass(frozen=True)
class RestorePlan:
    """What to do beyond the report, revoking leases and ending sessions.

    Attributes:
        dry_run: Change nothing.
        revoke_links: Revoke all share links.
        delete_vanished: Move complete images whose disk is gone to `deleted`.
        adopt: Make records of unknown disks whose owner is known, if an image has one only.
        owners: More user ids that may own unknown disks.
    """

    dry_run: bool = False
    revoke_links: bool = False
    delete_vanished: bool = False
    adopt: bool = False
    owners: tuple[str, ...] = ()


@dataclass
class RestoreReport:
    """What was found, and what was done; `changed` images cannot be read: their disk has another ETag.

    For the deltas see `DeltaFindings`.
    """

    revoked_leases: int = 0
    ended_sessions: int = 0
    share_links: int = 0
    checked_images: int = 0
    republished: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unknown: list[UnknownDisk] = field(default_factory=list)
    unknown_prefixes: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    damaged_deltas: list[str] = field(default_factory=list)
    advanced_deltas: list[str] = field(default_factory=list)
    unknown_deltas: list[str] = field(default_factory=list)

    def as_document(self) -> dict[str, object]:
        """Return the report for --json."""
        document = asdict(self)
        for disk in document["unknown"]:
            disk["last_modified"] = disk["last_modified"].isoformat()
        return document


class Restoring:
    """Run once after a restore, before gateways and workers start. Repeating it is safe."""

    def __init__(
        self, catalog: Catalog, store: ObjectStore, base_path: str, part_size: int, clock: Callable[[], float]
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._published = PublishedObjects(store)
        self._deltas = DeltaRestoring(catalog, store, clock)
        self._trail = AuditTrail(catalog.audit_entries, clock)
        self._base_path = base_path
        self._prefix = f"{base_path.lstrip('/')}/" if base_path else ""
        self._part_size = part_size
        self._clock = clock

    def run(self, plan: RestorePlan) -> RestoreReport:
        """Record the restore, take back what may have been revoked since the backup, and compare the bucket.

        Raises:
            InvalidState: Vanished images are to be deleted, but no image has its disk: the bucket may be
                another one.
            StoreUnavailable: The store lists a disk that it does not find.
        """
        report = RestoreReport()
        owners = {owner_key(owner): owner for owner in plan.owners}
        missing = self._check_complete(owners, plan, report)
        if plan.delete_vanished and missing and len(missing) == report.checked_images:
            raise InvalidState(
                f"none of the {len(missing)} complete images has its disk in the bucket: check S3_BUCKET, "
                "S3_ENDPOINT and IMAGE_BASE_PATH; delete single images with `image-gateway images delete`"
            )
        self._take_back(plan, report)
        deltas = self._deltas.run(dry_run=plan.dry_run)
        report.damaged_deltas, report.advanced_deltas = deltas.damaged, deltas.advanced
        report.unknown_deltas = deltas.unknown
        self._find_unknown(owners, report)
        if plan.delete_vanished and not plan.dry_run:
            self._delete(missing)
        if plan.adopt and not plan.dry_run:
            found = Counter(disk.image_id for disk in report.unknown)
            # Deleting an image deletes all below its prefix, so none of several disks is adopted.
            single = [disk for disk in report.unknown if found[disk.image_id] == 1]
            report.adopted = [disk.image_id for disk in single if self._adopt(disk)]
        return report

    def _check_complete(
        self, owners: dict[str, str], plan: RestorePlan, report: RestoreReport
    ) -> list[ImageRecord]:
        """Return the complete images without a disk, and note the owners of all; correct their manifests."""
        missing: list[ImageRecord] = []
        after = ""
        while page := self._catalog.find_complete(after=after, limit=PAGE):
            for record in page:
                owners[owner_key(record.owner)] = record.owner
                info = self._store.find_listed(record.location.disk_key)
                if info is None:
                    missing.append(record)
                else:
                    if record.disk is not None and record.disk.etag != info.etag:
                        report.changed.append(record.image_id)
                    self._compare_manifest(record, report, plan.dry_run)
            report.checked_images += len(page)
            after = page[-1].image_id
        report.vanished = [record.image_id for record in missing]
        return missing

    def _take_back(self, plan: RestorePlan, report: RestoreReport) -> None:
        """Revoke leases and end sessions: some of them had ended when the catalog was lost."""
        now = now_of(self._clock)
        if not plan.dry_run:
            self._catalog.properties.mark_restored(now)
        report.ended_sessions = self._catalog.sessions.end_all(dry_run=plan.dry_run)
        report.revoked_leases = self._catalog.leases.revoke_all(now, dry_run=plan.dry_run)
        count_only = plan.dry_run or not plan.revoke_links
        report.share_links = self._catalog.shares.revoke_all_links(now, dry_run=count_only)

    def _compare_manifest(self, record: ImageRecord, report: RestoreReport, dry_run: bool) -> None:
        """Take over a manifest that was written after the backup.

        Another chunk size would write other bytes to the same keys, which caches may hold.
        """
        found = self._published.find_published(record)
        if found is None or found == record.chunked:
            return
        if not dry_run:
            self._catalog.claim_chunk_size(record.image_id, found.chunk_size)
            if not self._catalog.publish(record.image_id, found, now_of(self._clock)):
                return
        report.republished.append(record.image_id)

    def _find_unknown(self, owners: Mapping[str, str], report: RestoreReport) -> None:
        for folder in self._store.list_folders(self._prefix):
            prefixes = {image_of_prefix(prefix): prefix for prefix in self._store.list_folders(folder)}
            image_ids = [image_id for image_id in prefixes if image_id is not None]
            for start in range(0, len(image_ids), PAGE):
                page = image_ids[start : start + PAGE]
                known = self._catalog.find_many(page)
                for image_id in page:
                    if image_id not in known:
                        self._report_unknown(image_id, prefixes[image_id], owners, report)

    def _report_unknown(
        self, image_id: str, prefix: str, owners: Mapping[str, str], report: RestoreReport
    ) -> None:
        objects = list(self._store.list_objects(prefix))
        disks = [item for item in objects if _version_of(item, prefix) is not None]
        if not disks and objects:
            report.unknown_prefixes.append(prefix)
        for item in disks:
            owner = owners.get(prefix.split("/")[-3])
            version = _version_of(item, prefix) or ""
            report.unknown.append(
                UnknownDisk(item.key, item.size, item.last_modified, image_id, version, owner)
            )

    def _adopt(self, disk: UnknownDisk) -> bool:
        """Make a private record of an unknown disk; its name and its shares are lost."""
        if disk.owner is None or self._catalog.find(disk.image_id) is not None:
            return False
        location = ImageLocation(self._base_path, disk.owner, disk.image_id, disk.version)
        info = self._store.find(location.disk_key)
        if info is None:
            return False
        now = now_of(self._clock)
        # As an upload that was joined: should this end here, the sweeper completes it.
        record = ImageRecord(
            image_id=disk.image_id,
            owner=disk.owner,
            base_path=self._base_path,
            version=disk.version,
            name=f"recovered-{disk.image_id[:8]}.img",
            kind=Kind.DISK,
            visibility=Visibility.PRIVATE,
            state=ImageState.UPLOADING,
            plan=UploadPlan("", self._part_size, None, None, now),
            created_at=disk.last_modified,
            updated_at=now,
        )
        self._catalog.add(record, Quota())
        facts = DiskFacts(info.size, info.etag, info.last_modified, info.cache_control)
        if not self._catalog.complete(record.image_id, "", facts, now):
            return False
        event, image_format = AuditEvent.IMAGE_CREATED, record.format.value
        self._trail.note(event, disk.image_id, image_name=record.name, format=image_format)
        self._compare_manifest(record, RestoreReport(), dry_run=False)
        return True

    def _delete(self, records: list[ImageRecord]) -> None:
        """Move images without a disk to `deleted`; the sweeper removes what else they have."""
        for record in records:
            if self._catalog.delete(record.image_id, now_of(self._clock)):
                self._trail.note(AuditEvent.IMAGE_DELETED, record.image_id, reason="vanished")
                self._catalog.jobs.cancel_of_image(record.image_id, now_of(self._clock))


def _version_of(item: ListedObject, prefix: str) -> str | None:
    """Return the version of a disk's key below an image's prefix, or None for any other object."""
    version, _, name = item.key.removeprefix(prefix).partition("/")
    return version if name == "disk.img" and "." not in version else None
