"""The session of a writer: one lineage of commits, renewed and opened again without a gap."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from image_gateway.client.api import GatewayClient
from image_gateway.client.deltas.calls import Commit, DeltasClient, Session, StaleGeneration
from image_gateway.client.errors import ApiError
from image_gateway.client.leases import RenewedLease
from image_gateway.client.retry import Retrier
from image_gateway.client.transport import parse

Result = TypeVar("Result")


class Fenced(ApiError):
    """Another writer has taken the delta over; what this one has not committed is not stored."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}: this writer must stop, and what it has not committed is not stored",
            status=409,
            code="FENCED",
            retryable=False,
        )
        self.reason = reason


class WriteSession:
    """The writer of one delta; thread-safe, but for one commit at a time.

    The lease is renewed. A session that has ended is opened again only if nobody else has become the writer
    and the delta is still at the generation that this writer knows.

    Args:
        client: Client of the delta's owner, or of a user with a share that may write.
        delta_id: The delta.
        retrier: Bounds the retries of each request.

    Raises:
        ApiError: The delta cannot be written by this user.
    """

    def __init__(
        self,
        client: GatewayClient,
        delta_id: str,
        retrier: Retrier,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.delta_id = delta_id
        self._deltas, self._retrier, self._clock = DeltasClient(client), retrier, clock
        self._lock = threading.Lock()
        self._fenced: str | None = None
        self._unsettled: Commit | None = None
        self._reopenings = 0
        document = retrier.call(lambda: self._deltas.delta(delta_id))
        self._version = parse(lambda answer: str(answer["version"]), document)
        session, self._lease = retrier.call(self._open)
        self.size, self.block_size = session.size, session.block_size
        self.generation, self._epoch = session.generation, session.epoch

    def check(self) -> None:
        """Raise Fenced if another writer has taken over."""
        if self._fenced is not None:
            raise Fenced(self._fenced)

    def fence(self, reason: str) -> Fenced:
        """Let all further calls fail with Fenced, and return it."""
        self._fenced = reason
        return Fenced(reason)

    def commit(self, commit: Commit) -> int:
        """Send a commit until it is answered, and return the new generation.

        After an error other than Fenced it is unknown whether the commit is stored. The same commit must be
        sent again before any other.

        Raises:
            Fenced: Another writer has taken over; the commit is not stored.
            ApiError: The commit was rejected, or the time for retries is over.
        """
        self._unsettled = commit
        try:
            generation = self._call(lambda lease: self._deltas.commit(self.delta_id, commit, lease))
        except StaleGeneration:
            raise self.fence(
                f"delta {self.delta_id} is no longer at generation {commit.generation}"
            ) from None
        if generation != commit.generation + 1:
            raise ApiError(f"the gateway answered generation {generation} to a commit on {commit.generation}")
        self.generation, self._unsettled = generation, None
        return generation

    def read(self, start: int, stop: int, generation: int) -> bytes:
        """Return bytes `start` to `stop`, `stop` excluded, of this generation.

        Raises:
            StaleGeneration: It is not the newest generation any more.
            Fenced: Another writer has taken over.
            ApiError: The bytes could not be read.
        """
        etag = f'"{self._version}.{self.delta_id}.{generation}"'
        return self._call(lambda lease: self._deltas.read(lease, start, stop, self.size, etag))

    def end(self) -> None:
        """End the session, as far as the gateway can be reached; otherwise its lease expires."""
        with suppress(ApiError):
            self._deltas.end_session(self._lease)

    def _call(self, send: Callable[[RenewedLease], Result]) -> Result:
        def attempt() -> Result:
            self.check()
            lease = self._lease
            try:
                return send(lease)
            except ApiError as error:
                # A session that was opened meanwhile, in place of this one, has fenced it.
                if error.status != 401 and not (error.code == "FENCED" and self._lease is not lease):
                    raise
                self._reopen(lease)
                return send(self._lease)

        try:
            return self._retrier.call(attempt)
        except Fenced:
            raise
        except ApiError as error:
            if error.code != "FENCED":
                raise
            raise self.fence(f"delta {self.delta_id} has a newer session") from None

    def _reopen(self, ended: RenewedLease) -> None:
        with self._lock:
            if self._lease is not ended:
                return
            document = self._deltas.delta(self.delta_id)
            sessions_since = parse(lambda answer: int(answer["epoch"]), document) - self._epoch
            # Those that this writer opened and whose answer was lost are its own.
            if sessions_since > self._reopenings:
                raise self.fence(f"delta {self.delta_id} has got another session after this one ended")
            self._reopenings += 1
            known = self._known_generations()
            session, lease = self._open()
            if session.generation not in known | self._known_generations():
                raise self.fence(
                    f"delta {self.delta_id} is at generation {session.generation}, "
                    f"not at {self.generation}, after the session ended"
                )
            self._lease, self._epoch, self._reopenings = lease, session.epoch, 0

    def _open(self) -> tuple[Session, RenewedLease]:
        requested_at = self._clock()
        session = self._deltas.open_session(self.delta_id)
        return session, RenewedLease(self._deltas.client, session.lease, requested_at, clock=self._clock)

    def _known_generations(self) -> set[int]:
        """Return the generations to which only this writer's commits lead."""
        # Read first: it is cleared when the generation has been raised.
        unsettled = self._unsettled
        return {self.generation} | ({unsettled.generation + 1} if unsettled else set())
