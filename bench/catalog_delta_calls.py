"""The calls of the catalog that requests and sweeps make for deltas."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime

from catalog_arguments import NOW, PAGE, QUOTA, SIZE, Arguments, Call
from catalog_delta_rows import COMMITS
from catalog_dialects import DELTA, IMAGE, START, created_at, row_id
from catalog_rows import OWNER

from image_gateway.domain.deltas import Commit, CommitKind, Delta, NamedObject, Parent, Snapshot

# How often rows are forgotten, a batch each time: as many old ones are needed.
FORGETS = 5
_BYTES = 4132


def deltas(given: Arguments) -> list[Call]:
    book, made = given.catalog.deltas, DeltaArguments(given)
    return [
        Call("delta", book.find, made.delta_id),
        Call("page of deltas", lambda _: book.list(OWNER, limit=PAGE)),
        Call(
            "page of deltas in the middle",
            lambda after: book.list(OWNER, limit=PAGE, after=after),
            made.middle,
        ),
        Call("deltas of an image", lambda image: book.list(OWNER, limit=PAGE, image_id=image), made.image_id),
        Call("number of deltas of an image", book.count_active, made.image_id),
        Call("active deltas of an image", lambda image: book.find_active(image, limit=PAGE), made.image_id),
        Call("create a delta", lambda delta: book.add(delta, QUOTA), made.draft),
        Call("fork a delta", lambda delta: book.add(delta, QUOTA), made.fork),
        Call("rename a delta", lambda delta: book.rename(delta, "x", NOW, generation=None), made.delta_id),
        Call("open a session of a delta", lambda delta: book.begin_session(delta, NOW), made.delta_id),
        Call("commit", lambda pair: book.commit(*pair, QUOTA), made.next_commit),
        Call("commit of a key", lambda pair: book.find_commit(*pair), made.key),
        Call(
            "commits since a checkpoint",
            lambda delta: book.find_commits(delta, after=0, upto=COMMITS),
            made.delta_id,
        ),
        Call("log of a delta", lambda delta: book.log(delta, before=None, limit=PAGE), made.delta_id),
        Call("log of a delta, next page", lambda delta: book.log(delta, before=2, limit=PAGE), made.delta_id),
        Call("delete a delta", lambda delta: book.delete(delta.delta_id, NOW), made.added),
        *objects(given, made),
    ]


def objects(given: Arguments, made: DeltaArguments) -> list[Call]:
    book = given.catalog.delta_objects

    def record(delta: Delta) -> bool:
        named = made.named(delta, "new.map")
        return book.set_checkpoint(delta, 1, named, 4096, [made.named(delta, "old.seg")], NOW)

    def reset(pair: tuple[Delta, Commit]) -> bool:
        delta, commit = pair
        retired = [made.named(delta, "old.seg")]
        return book.reset(delta, commit, made.named(delta, "reset.map"), 4096, retired, QUOTA)

    return [
        Call("record a checkpoint", record, made.committed),
        Call("reset a delta", reset, made.next_reset),
        Call("add a snapshot", lambda pair: book.add_snapshot(*pair, QUOTA), made.new_snapshot),
        Call("snapshots of a delta", book.snapshots, made.delta_id),
        Call("delete a snapshot", lambda snapshot: book.delete_snapshot(snapshot, NOW), made.added_snapshot),
    ]


def delta_sweeps(given: Arguments, batch: int) -> list[Call]:
    book, made = given.catalog.delta_objects, DeltaArguments(given)
    return [
        Call("images with deltas", lambda _: book.images_with_deltas(after="", limit=batch)),
        Call(
            "images with deltas, in the middle",
            lambda _: book.images_with_deltas(after="80000000", limit=batch),
        ),
        Call("unpurged deltas of an image", book.deltas_of, made.image_id),
        Call("retired objects of a delta", book.retired_objects, made.delta_id),
        Call("count old commits", lambda _: book.count_old_commits(START)),
        Call(
            "forget objects of a delta", lambda delta: book.forget_objects(delta, ["old.seg"]), made.retired
        ),
        Call("mark a delta as purged", lambda delta: book.mark_purged(delta, NOW), made.deleted),
        Call("forget commits", lambda _: book.forget_commits(START, limit=batch), most_turns=FORGETS),
    ]


class DeltaArguments:
    """Makes arguments of calls about deltas; `turn` numbers the calls."""

    def __init__(self, given: Arguments) -> None:
        self._given = given
        self._catalog = given.catalog

    def delta_id(self, turn: int) -> str:
        return row_id(DELTA, self._given.tenth(turn))

    def image_id(self, turn: int) -> str:
        return row_id(IMAGE, self._given.tenth(turn))

    def middle(self, _turn: int) -> tuple[datetime, str]:
        number = self._given.images // 2
        return created_at(number), row_id(DELTA, number)

    def key(self, turn: int) -> tuple[str, str]:
        delta_id = self.delta_id(turn)
        return delta_id, f"{delta_id}1"

    def draft(self, turn: int) -> Delta:
        return Delta(
            delta_id=str(uuid.uuid4()),
            image_id=self._given.completed(turn),
            version="v",
            disk_size=SIZE,
            owner=OWNER,
            name="new disk",
            block_size=4096,
            created_at=NOW,
            updated_at=NOW,
        )

    def added(self, turn: int) -> Delta:
        draft = self.draft(turn)
        assert self._catalog.deltas.add(draft, QUOTA)
        return draft

    def fork(self, turn: int) -> Delta:
        parent = self.added(turn)
        return replace(parent, delta_id=str(uuid.uuid4()), parent=Parent(parent.delta_id, 0))

    def next_commit(self, turn: int) -> tuple[Delta, Commit]:
        delta = self.added(turn)
        return delta, self._commit(CommitKind.COMMIT, 0)

    def next_reset(self, turn: int) -> tuple[Delta, Commit]:
        return self.committed(turn), self._commit(CommitKind.RESET, 1)

    def committed(self, turn: int) -> Delta:
        """A delta at generation 1."""
        delta, commit = self.next_commit(turn)
        assert self._catalog.deltas.commit(delta, commit, QUOTA)
        return replace(delta, generation=1)

    def retired(self, turn: int) -> Delta:
        """A delta with a retired object."""
        delta = self.committed(turn)
        objects, retired = self._catalog.delta_objects, [self.named(delta, "old.seg")]
        assert objects.set_checkpoint(delta, 1, self.named(delta, "new.map"), 0, retired, NOW)
        return delta

    def deleted(self, turn: int) -> str:
        delta = self.retired(turn)
        assert self._catalog.deltas.delete(delta.delta_id, NOW)
        return delta.delta_id

    def new_snapshot(self, turn: int) -> tuple[Delta, Snapshot]:
        delta = self.added(turn)
        return delta, Snapshot(str(uuid.uuid4()), delta.delta_id, "before", 0, "snapshot.map", _BYTES, NOW)

    def added_snapshot(self, turn: int) -> Snapshot:
        delta, snapshot = self.new_snapshot(turn)
        assert self._catalog.delta_objects.add_snapshot(delta, snapshot, QUOTA)
        return snapshot

    def named(self, delta: Delta, name: str) -> NamedObject:
        return NamedObject(delta.delta_id, name, _BYTES)

    def _commit(self, kind: CommitKind, before: int) -> Commit:
        return Commit(
            generation=before + 1,
            epoch=0,
            kind=kind,
            name="new.seg",
            size=_BYTES,
            etag='"etag"',
            extents=1,
            blocks=1,
            sha256="ab" * 32,
            idempotency_key=str(uuid.uuid4()),
            created_at=NOW,
        )
