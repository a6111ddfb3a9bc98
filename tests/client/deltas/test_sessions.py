"""Sessions that expire: renewed, or opened again if nobody else wrote meanwhile."""

from __future__ import annotations

import pytest

from image_gateway.client.api import GatewayClient
from image_gateway.client.deltas.disk import DeltaDisk
from image_gateway.client.deltas.session import Fenced, WriteSession
from image_gateway.client.errors import ApiError, PatienceOver
from image_gateway.client.retry import Retrier
from tests.client.deltas.conftest import DATA, Open
from tests.client.deltas.fake import FakeDelta, FakeDeltas
from tests.client.fake import RESET, Fault


def expire(fake: FakeDeltas) -> None:
    for session in fake.sessions.values():
        session.expired = True


def test_a_lease_is_renewed_before_it_expires(fake: FakeDeltas, delta: FakeDelta) -> None:
    now = [0.0]
    client = GatewayClient(fake.url, "me")
    session = WriteSession(client, delta.delta_id, Retrier(60), clock=lambda: now[0])
    for seconds in (0, 500, 541):
        now[0] = seconds
        session.read(0, 10, 0)
    assert fake.asked.count("renew") == 1
    assert len(fake.sessions) == 1


@pytest.mark.parametrize("act", ["flush", "read"])
def test_an_ended_session_is_opened_again(
    disk: DeltaDisk, delta: FakeDelta, fake: FakeDeltas, act: str
) -> None:
    disk.write(0, b"first")
    disk.flush()
    disk.write(0, b"again")
    expire(fake)
    if act == "read":
        assert disk.read(100_000, 5) == DATA[100_000:100_005]
    disk.flush()
    assert (delta.generation, delta.epoch, delta.contents[2][:5]) == (2, 2, b"again")
    disk.write(0, b"third")
    disk.flush()
    assert delta.epoch == 2


def test_another_session_meanwhile_is_not_driven_out(
    disk: DeltaDisk, delta: FakeDelta, fake: FakeDeltas
) -> None:
    disk.write(0, b"x")
    expire(fake)
    fake.steal(delta)
    with pytest.raises(Fenced, match="another session after this one ended"):
        disk.flush()
    assert delta.epoch == 2
    with pytest.raises(Fenced):
        disk.flush()


def test_another_generation_meanwhile_fences(disk: DeltaDisk, delta: FakeDelta, fake: FakeDeltas) -> None:
    disk.write(0, b"x")
    expire(fake)
    delta.append(b"z" * len(DATA))
    with pytest.raises(Fenced, match="is at generation 1, not at 0, after the session ended"):
        disk.read(100_000, 1)
    with pytest.raises(Fenced):
        disk.flush()
    assert delta.generation == 1


def test_a_commit_of_another_meanwhile_fences(disk: DeltaDisk, delta: FakeDelta, fake: FakeDeltas) -> None:
    """It has the generation that the own commit would have."""
    disk.write(0, b"x")
    expire(fake)
    delta.append(b"z" * len(DATA))
    with pytest.raises(Fenced, match="no longer at generation 0"):
        disk.flush()
    assert delta.generation == 1


def test_a_new_session_whose_answer_was_lost_is_no_other_writer(
    disk: DeltaDisk, delta: FakeDelta, fake: FakeDeltas
) -> None:
    disk.write(0, b"x")
    expire(fake)
    fake.fail("open_session.lost", Fault(RESET), Fault(503))
    disk.flush()
    assert (delta.generation, delta.epoch) == (1, 4)


def test_a_commit_whose_answer_was_lost_is_settled_by_the_next_session(
    open_disk: Open, delta: FakeDelta, fake: FakeDeltas
) -> None:
    disk = open_disk(delta, patience=0)
    disk.write(0, b"x")
    fake.fail("commit.lost", Fault(RESET))
    with pytest.raises(PatienceOver):
        disk.flush()
    expire(fake)
    disk.flush()
    assert (delta.generation, delta.epoch, disk.generation, len(set(fake.keys))) == (1, 2, 1, 1)


def test_a_new_session_that_is_refused_is_told(disk: DeltaDisk, fake: FakeDeltas) -> None:
    disk.write(0, b"x")
    expire(fake)
    body = b'{"error": {"code": "FORBIDDEN", "message": "the share was revoked"}}'
    fake.fail("open_session", Fault(403, body=body))
    with pytest.raises(ApiError, match="the share was revoked"):
        disk.flush()
    assert disk.unsafe_bytes == 4096


def test_errors_and_reprs_have_no_token(disk: DeltaDisk, fake: FakeDeltas) -> None:
    (session,) = fake.sessions.values()
    body = f'{{"error": {{"code": "X", "message": "bad {session.token}"}}}}'.encode()
    fake.fail("read", Fault(400, body=body))
    with pytest.raises(ApiError, match=r"bad \[hidden\]") as raised:
        disk.read(0, 1)
    assert "SECRET" not in repr(raised.value) + repr(disk) + repr(vars(disk._session))
