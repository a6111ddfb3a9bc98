"""All checks of the store that the settings name."""

from __future__ import annotations

from collections.abc import Iterator

from image_gateway.components import store_address
from image_gateway.doctor.bucket import check_bucket
from image_gateway.doctor.store_connection import check_connection
from image_gateway.doctor.store_reads import ReadChecks
from image_gateway.doctor.store_rights import ProbeObject, Trial
from image_gateway.doctor.store_target import SUBJECT, StoreTarget, make_target, skipped
from image_gateway.doctor.store_uploads import check_uploads
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.settings import Settings
from image_gateway.storage.probe import ProbeFailed, StoreProbe


def check_store(settings: Settings, *, read_only: bool = False) -> Iterator[Check]:
    """Yield the checks of the store; what they write is removed in the end, also when the caller stops.

    Args:
        read_only: Write nothing. Reads are tried on an object that is there.
    """
    target = make_target(
        StoreProbe(store_address(settings)),
        base_path=settings.image_base_path,
        origins=settings.cors_allow_origin,
        upload_max_seconds=settings.upload_max_seconds,
    )
    usable = yield from check_connection(target)
    if not usable:
        yield skipped("everything else", "the store cannot be used")
        return
    yield from check_store_target(target, read_only=read_only)


def check_store_target(target: StoreTarget, *, read_only: bool = False) -> Iterator[Check]:
    """Yield the checks of a store that answers.

    The last check tells what could not be removed. It is yielded also when an exception is thrown in.
    """
    try:
        yield from _checks(target, read_only=read_only)
    except GeneratorExit:
        target.scratch.remove_all()
        raise
    except BaseException:
        yield _removal(target)
        raise
    if not read_only:
        yield _removal(target)


def _checks(target: StoreTarget, *, read_only: bool) -> Iterator[Check]:
    trial = Trial(target)
    yield from trial.run(read_only=read_only)
    small = trial.small or (_existing(target) if read_only else None)
    probed = trial.joined or small
    if probed is None or small is None or ("GetObject" not in trial.succeeded and not read_only):
        yield skipped("reads", "there is no object to read")
    else:
        yield from ReadChecks(target, probed, small).run()
    yield from check_uploads(target, read_only=read_only)
    yield from check_bucket(target, probed=small, written=trial.written, read_only=read_only)


def _existing(target: StoreTarget) -> ProbeObject | None:
    """Return an object of the bucket that is not empty, or None."""
    try:
        answer = target.probe.call("list_objects_v2", Prefix=target.base, MaxKeys=50)
    except ProbeFailed:
        return None
    found = [item for item in answer.fields.get("Contents", []) if item["Size"]]
    return ProbeObject(found[0]["Key"], found[0]["Size"], found[0]["ETag"]) if found else None


def _removal(target: StoreTarget) -> Check:
    left = target.scratch.remove_all()
    name = "nothing is left behind"
    if not left:
        return Check(SUBJECT, name, f"below {target.scratch.prefix}")
    finding = Finding(
        "store-leftovers",
        Severity.WARNING,
        f"probes could not be deleted: {', '.join(left)}",
        "They take space, about 5 MiB, in the bucket.",
        f"delete all objects, versions and multipart uploads below {target.scratch.prefix}",
    )
    return Check(SUBJECT, name, findings=(finding,))
