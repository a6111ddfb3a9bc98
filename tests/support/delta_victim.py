"""A gateway's process that commits what it is sent, until it is killed at the point where it shall be."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.callers import Caller
from image_gateway.domain.deltas import Commit
from image_gateway.services.deltas.commits import CommitRequest
from image_gateway.storage.client import StoreAddress, StoreClients
from image_gateway.storage.objects import ObjectStore
from tests.support.delta_ground import dying, make_gateway

PATIENCE = 60


def fork_server() -> ForkServerContext:
    """Where victims come from: a process with all modules, whose children start in a moment."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


class Died(Exception):
    """The gateway was killed before it answered."""


class Victim:
    """One gateway's process."""

    def __init__(
        self, context: ForkServerContext, url: str, address: StoreAddress, point: str, after: int
    ) -> None:
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, url, address, point, after), daemon=True)
        self._process.start()
        theirs.close()

    def commit(
        self, delta_id: str, caller: Caller, request: CommitRequest, kill_after: float | None = None
    ) -> Commit:
        """Return the answer to a commit, or raise Died; may be killed some seconds after it was asked."""
        try:
            self._connection.send((delta_id, caller, request))
            if kill_after is not None:
                time.sleep(kill_after)
                self._process.kill()
            assert self._connection.poll(PATIENCE), "the gateway neither answers nor dies"
            answer: Commit | Exception = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            self._process.join(PATIENCE)
            assert self._process.exitcode == -signal.SIGKILL
            raise Died from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> None:
        """Kill it if it still runs."""
        self._process.kill()
        self._process.join(PATIENCE)
        self._connection.close()


@contextmanager
def running_victim(
    context: ForkServerContext, url: str, address: StoreAddress, point: str = "", after: int = 0
) -> Iterator[Victim]:
    """A gateway that is killed when it passes `point` the next time after `after` others."""
    victim = Victim(context, url, address, point, after)
    try:
        yield victim
    finally:
        victim.end()


def _serve(connection: Connection, url: str, address: StoreAddress, point: str, after: int) -> None:
    catalog, store = Catalog(open_engine(url)), ObjectStore(StoreClients(address))
    services = make_gateway(catalog, store, time.time)
    with dying(catalog, store, point, lambda: os.kill(os.getpid(), signal.SIGKILL), after=after):
        while True:
            delta_id, caller, request = connection.recv()
            try:
                connection.send(services.commits.commit(delta_id, caller, request))
            except Exception as error:  # noqa: BLE001 The test shall see it.
                connection.send(error)
