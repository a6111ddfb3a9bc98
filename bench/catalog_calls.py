"""Every call of the catalog that a request, a worker, a sweep or the metrics make, by who makes it."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

from catalog_arguments import (
    CHUNKED,
    DISK,
    FIRST,
    LIFETIME,
    NOW,
    PAGE,
    QUOTA,
    SHA256,
    SIZE,
    SOON,
    SOURCE,
    UPLOAD,
    WEEK,
    Arguments,
    Call,
)
from catalog_delta_calls import deltas
from catalog_dialects import AUDIT, IMAGE, JOB, LEASE, LINK, SESSION, START, created_at, row_id
from catalog_rows import OWNER
from catalog_sweep_calls import metrics, sweeps

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageState, ListQuery
from image_gateway.domain.jobs import JobKind, new_job
from image_gateway.domain.leases import Lease
from image_gateway.protocol.boot_trace import BootTrace


def calls_by_group(catalog: Catalog, images: int, batch: int = 500) -> dict[str, list[Call]]:
    """Return the calls of a catalog that was filled with `images` images.

    Args:
        batch: Rows of a page of the sweeper.
    """
    given = Arguments(catalog, images)
    return {
        "lists": lists(given),
        "reads": reads(given),
        "images": changes_of_images(given),
        "shares": shares(given),
        "leases": leases(given),
        "sessions": sessions(given),
        "jobs": jobs(given),
        "deltas": deltas(given),
        "sweeps": sweeps(given, batch),
        "metrics": metrics(given),
    }


def lists(given: Arguments) -> list[Call]:
    def page(title: str, **query: Any) -> Call:
        user = query.pop("user", OWNER)
        return Call(title, lambda _: given.catalog.list(ListQuery(user, PAGE, **query)))

    def after(number: int) -> tuple[Any, str]:
        return created_at(number), row_id(IMAGE, number)

    sharing = f"reader-{given.images // 40}"
    return [
        page("first page"),
        page("page in the middle", after=after(given.images // 2)),
        page("last page", after=after(300)),
        page("page by state", state=ImageState.COMPLETE),
        page("page by state, in the middle", state=ImageState.COMPLETE, after=after(given.images // 2)),
        page("page of open uploads", state=ImageState.UPLOADING),
        page("page of a name that many have", name="disk"),
        page("page of a name that none has", name="none"),
        page("page of what is shared with a user", user=sharing, shared=True),
        Call(
            "permissions on a page",
            lambda ids: given.catalog.shares.find_writable(ids, sharing),
            lambda turn: [row_id(IMAGE, given.number(turn + other)) for other in range(PAGE)],
        ),
    ]


def reads(given: Arguments) -> list[Call]:
    catalog, image = given.catalog, given.image_id
    return [
        Call("record", catalog.find, image),
        Call("usage", catalog.usage, lambda _: OWNER),
        Call("readiness", lambda _: catalog.check_reachable()),
        Call("boot trace", lambda image_id: catalog.boot_traces.find(image_id, "v"), image),
        Call(
            "audit entries",
            lambda image_id: catalog.audit_entries.list(image_id, after=None, limit=PAGE),
            image,
        ),
        Call(
            "audit entries, next page",
            lambda turn: catalog.audit_entries.list(
                image(turn), after=(NOW, row_id(AUDIT, given.number(turn))), limit=PAGE
            ),
            lambda turn: turn,
        ),
    ]


def changes_of_images(given: Arguments) -> list[Call]:
    catalog, complete = given.catalog, given.completed
    return [
        Call("create, with quotas", lambda record: catalog.add(record, QUOTA), given.draft),
        Call(
            "rename",
            lambda image: catalog.describe(image, name="x", visibility=None, revision=None, now=NOW),
            given.image_id,
        ),
        Call("prolong an upload", lambda image: catalog.prolong_upload(image, NOW + WEEK), given.open),
        Call("settle an upload", lambda image: catalog.settle(image, SIZE, QUOTA), given.open),
        Call(
            "declare a SHA-256",
            lambda image: catalog.declare_sha256(image, UPLOAD, SHA256, NOW),
            given.open,
        ),
        Call("complete", lambda image: catalog.complete(image, UPLOAD, DISK, NOW), given.open),
        Call("fail an upload", lambda image: catalog.fail(image, UPLOAD, NOW), given.open),
        Call("claim a chunk size", lambda image: catalog.claim_chunk_size(image, 2**18), complete),
        Call("publish", lambda image: catalog.publish(image, CHUNKED, NOW), given.with_chunk_size),
        Call("record a zero map", lambda image: catalog.set_zero_map(image, "v", 9), complete),
        Call("forget a source", catalog.forget_source, complete),
        Call("delete", lambda image: catalog.delete(image, NOW), complete),
        Call("mark as purged", lambda image: catalog.mark_purged(image, NOW), given.deleted),
        Call(
            "replace a boot trace",
            lambda image: catalog.boot_traces.replace(image, "v", BootTrace(((0, 9),)), NOW),
            complete,
        ),
        Call("delete a boot trace", catalog.boot_traces.delete, given.image_id),
        Call(
            "register a writer",
            lambda image: catalog.writers.add(str(uuid.uuid4()), image, ImageState.COMPLETE, SOON),
            given.image_id,
        ),
        Call(
            "renew a writer",
            lambda writer: catalog.writers.renew(writer, ImageState.COMPLETE, SOON),
            given.writer,
        ),
        Call("remove a writer", catalog.writers.remove, given.writer),
        Call("writers of an image", lambda image: catalog.writers.any_active(image, NOW), given.image_id),
        Call("add an audit entry", catalog.audit_entries.add, given.entry),
    ]


def shares(given: Arguments) -> list[Call]:
    book = given.catalog.shares

    def link_at(turn: int) -> int:
        return given.tenth(turn)

    return [
        Call(
            "permission of a user",
            lambda turn: book.find_permission(given.image_id(turn), f"reader-{given.number(turn) // 20}"),
        ),
        Call(
            "shares of an image", lambda image: book.list_shares(image, after="", limit=PAGE), given.image_id
        ),
        Call("share", lambda share: book.share(share, most=100), given.share),
        Call("unshare", lambda share: book.unshare(share.image_id, share.user), given.added_share),
        Call("share link", lambda turn: book.find_link(row_id(LINK, link_at(turn)))),
        Call("share link by token", book.find_link_by_token, lambda turn: token_of(link_at(turn))),
        Call(
            "links of an image",
            lambda turn: book.list_links(row_id(IMAGE, link_at(turn)), after=None, limit=PAGE),
        ),
        Call(
            "links of an image, next page",
            lambda turn: book.list_links(row_id(IMAGE, link_at(turn)), after=(START, ""), limit=PAGE),
        ),
        Call("create a link", lambda link: book.add_link(link, uuid.uuid4().hex * 2, most=100), given.link),
        Call("redeem a link", lambda link: book.use_link(link, NOW), given.added_link),
        Call("revoke a link", lambda link: book.revoke_link(link, NOW), given.added_link),
    ]


def token_of(number: int) -> str:
    """Return the SHA-256 of a link's token, as `catalog_rows` makes it."""
    return row_id(LINK, number) + "0123456789abcdef0123456789ab"


def leases(given: Arguments) -> list[Call]:
    book = given.catalog.leases

    def alike(lease: Lease) -> Lease | None:
        return book.find_alike(lease, made_after=START - timedelta(days=1))

    return [
        Call("lease", lambda turn: book.find(row_id(LEASE, given.number(turn)))),
        Call("lease like another one", alike, given.lease),
        Call("create a lease", book.add, given.lease),
        Call("renew a lease", lambda lease: book.prolong(lease, SOON + WEEK), given.added_lease),
        Call("revoke a lease", lambda lease: book.revoke(lease, NOW), given.added_lease),
    ]


def sessions(given: Arguments) -> list[Call]:
    book = given.catalog.sessions

    def with_session(turn: int) -> str:
        given.added_session(turn)
        return f"visitor-{turn}"

    return [
        Call("session", book.find, lambda turn: session_of(given.tenth(turn))),
        Call("sign in", lambda made: book.add(*made, replaces="0" * 64), given.session),
        Call("use a session", lambda session: book.touch(session, SOON), given.added_session),
        Call("sign out", book.end, given.added_session),
        Call("sessions of a user", book.of_user, with_session),
        Call("end the sessions of a user", book.end_of_user, with_session),
    ]


def session_of(number: int) -> str:
    """Return the SHA-256 of a session, as `catalog_rows` makes it."""
    return row_id(SESSION, number) + "0123456789abcdef0123456789ab"


def jobs(given: Arguments) -> list[Call]:
    queue, claimed = given.catalog.jobs, given.claimed

    def queued(turn: int) -> str:
        job = new_job(given.completed(turn), JobKind.PUBLISH, NOW)
        return queue.add(replace(job, run_after=FIRST)).image_id

    def begin(image_id: str) -> bool:
        job = new_job(image_id, JobKind.CONVERT, NOW)
        return queue.begin_processing(UPLOAD, SOURCE, job, NOW)

    return [
        Call("job", lambda turn: queue.find(row_id(JOB, given.tenth(turn)))),
        Call("jobs of an image", lambda turn: queue.list(row_id(IMAGE, given.tenth(turn)), limit=PAGE)),
        Call("queue a job", lambda image: queue.add(new_job(image, JobKind.VERIFY, NOW)), given.completed),
        Call("create an image with a job", lambda made: queue.add_with_image(*made, QUOTA), given.with_job),
        Call("begin a conversion", begin, given.open),
        Call("claim a job", lambda _: queue.claim("host:1", NOW, LIFETIME), queued),
        Call("renew a claim", lambda job: queue.renew(job, SOON, bytes_done=9, bytes_total=SIZE), claimed),
        Call("save a checkpoint", lambda job: queue.save_checkpoint(job, {"part": 1}), claimed),
        Call("release a job", lambda job: queue.release(job, SOON), claimed),
        Call("finish a job", lambda job: queue.finish(job, NOW), claimed),
        Call("finish a conversion", lambda job: queue.finish_disk(job, UPLOAD, DISK, NOW), claimed),
        Call(
            "finish an import",
            lambda job: queue.finish_source(job, SOURCE, new_job(job.image_id, JobKind.CONVERT, NOW), NOW),
            claimed,
        ),
        Call("fail a job", lambda job: queue.fail(job, NOW, "CODE", "text"), claimed),
        Call("cancel a job", lambda job: queue.cancel(job.job_id, NOW), claimed),
        Call("cancel the jobs of an image", lambda image: queue.cancel_of_image(image, NOW), queued),
    ]
