"""The negotiation: options, names, and clients that break the rules."""

from __future__ import annotations

import struct

import pytest

from image_gateway.nbd import wire
from image_gateway.nbd.handshake import MAX_OPTIONS
from tests.nbd.conftest import SIZE, Connect
from tests.support.nbd import enter, go_data, greet, is_closed, receive_error, receive_replies, send_option
from tests.support.nbd import send_request as send
from tests.support.waiting import wait_for

FLAGS = 0b1_0110_1101
EXPORT = (wire.REP_INFO, struct.pack(">HQH", 0, SIZE, FLAGS))
SIZES = (wire.REP_INFO, struct.pack(">HIII", 3, 1, 4096, 32 * 1024 * 1024))
ACK = (wire.REP_ACK, b"")


@pytest.mark.parametrize("name", [b"", b"delta-1"])
@pytest.mark.parametrize("option", [wire.OPT_INFO, wire.OPT_GO])
def test_what_is_exported(option: int, name: bytes, connect: Connect) -> None:
    client = connect()
    greet(client)
    send_option(client, option, go_data(name, (3, 0, 99)))
    assert receive_replies(client, option) == [EXPORT, SIZES, ACK]


@pytest.mark.parametrize("zeroes", [0, 124])
def test_by_export_name(zeroes: int, connect: Connect) -> None:
    client = connect()
    greet(client, wire.FLAG_FIXED_NEWSTYLE | (0 if zeroes else wire.FLAG_NO_ZEROES))
    send_option(client, wire.OPT_EXPORT_NAME, b"delta-1")
    assert wire.receive_exactly(client, 10 + zeroes) == struct.pack(">QH", SIZE, FLAGS) + bytes(zeroes)
    send(client, wire.CMD_READ, 0, 512)
    assert receive_error(client) == 0
    assert wire.receive_exactly(client, 512) == bytes(512)


def test_the_list_has_the_name(connect: Connect) -> None:
    client = connect()
    greet(client)
    send_option(client, wire.OPT_LIST)
    listed = (wire.REP_SERVER, struct.pack(">I", 7) + b"delta-1")
    assert receive_replies(client, wire.OPT_LIST) == [listed, ACK]


@pytest.mark.parametrize(
    ("option", "data", "error"),
    [
        (5, b"", wire.REP_ERR_UNSUP),
        (8, b"", wire.REP_ERR_UNSUP),
        (10, b"\0" * 8, wire.REP_ERR_UNSUP),
        (4711, b"whatever", wire.REP_ERR_UNSUP),
        (wire.OPT_LIST, b"x", wire.REP_ERR_INVALID),
        (wire.OPT_GO, go_data(b"another"), wire.REP_ERR_UNKNOWN),
        (wire.OPT_INFO, go_data(b"delta-1\0"), wire.REP_ERR_UNKNOWN),
        (wire.OPT_GO, b"", wire.REP_ERR_INVALID),
        (wire.OPT_GO, go_data()[:-1], wire.REP_ERR_INVALID),
        (wire.OPT_GO, go_data() + b"\0", wire.REP_ERR_INVALID),
        (wire.OPT_GO, go_data(b"", (0,))[:-2], wire.REP_ERR_INVALID),
        (wire.OPT_GO, struct.pack(">IH", 0xFFFFFFFF, 0), wire.REP_ERR_INVALID),
        (wire.OPT_GO, go_data(b"x" * 5000), wire.REP_ERR_INVALID),
    ],
)
def test_a_refused_option_can_be_followed_by_others(
    option: int, data: bytes, error: int, connect: Connect
) -> None:
    client = connect()
    greet(client)
    send_option(client, option, data)
    assert receive_replies(client, option) == [(error, b"")]
    send_option(client, wire.OPT_GO, go_data())
    assert receive_replies(client, wire.OPT_GO)[-1] == ACK


def test_goodbye_is_acknowledged(connect: Connect, said: list[str]) -> None:
    client = connect()
    greet(client)
    send_option(client, wire.OPT_ABORT)
    assert receive_replies(client, wire.OPT_ABORT) == [ACK]
    assert is_closed(client)
    assert said == []


@pytest.mark.parametrize(
    ("sent", "said_of_it"),
    [
        (struct.pack(">I", 1 << 7), "unknown flags"),
        (struct.pack(">I8sII", 3, b"IHAVEOPT", 7, 64 * 1024 + 1), "invalid option"),
        (struct.pack(">I8sII", 3, b"IHAVENOT", 7, 0), "invalid option"),
        (struct.pack(">I8sII7s", 3, b"IHAVEOPT", 1, 7, b"another"), "unknown export"),
    ],
)
def test_a_client_that_breaks_the_rules_is_disconnected(
    sent: bytes, said_of_it: str, connect: Connect, said: list[str]
) -> None:
    client = connect()
    wire.receive_exactly(client, 18)
    client.sendall(sent)
    assert is_closed(client)
    wait_for(lambda: bool(said), "the server says why")
    assert said_of_it in said[0]
    enter(connect())


def test_endless_options(connect: Connect, said: list[str]) -> None:
    client = connect()
    greet(client)
    for _ in range(MAX_OPTIONS):
        send_option(client, wire.OPT_INFO, go_data())
        receive_replies(client, wire.OPT_INFO)
    assert is_closed(client)
