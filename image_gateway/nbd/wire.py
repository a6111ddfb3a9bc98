"""The parts of the NBD protocol that client and server share.

The names are those of https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md.
"""

from __future__ import annotations

import socket
import struct

NBDMAGIC = b"NBDMAGIC"
IHAVEOPT = b"IHAVEOPT"
OPTION_REPLY_MAGIC = 0x3E889045565A9
REQUEST_MAGIC = 0x25609513
SIMPLE_REPLY_MAGIC = 0x67446698
STRUCTURED_REPLY_MAGIC = 0x668E33EF

FLAG_FIXED_NEWSTYLE, FLAG_NO_ZEROES = 1, 2
FLAG_HAS_FLAGS, FLAG_READ_ONLY, FLAG_SEND_FLUSH, FLAG_SEND_FUA = 1, 2, 4, 8
FLAG_SEND_TRIM, FLAG_SEND_WRITE_ZEROES, FLAG_CAN_MULTI_CONN = 1 << 5, 1 << 6, 1 << 8

OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_INFO, OPT_GO = 1, 2, 3, 6, 7
OPT_STRUCTURED_REPLY, OPT_SET_META_CONTEXT = 8, 10
REP_ACK, REP_SERVER, REP_INFO, REP_META_CONTEXT = 1, 2, 3, 4
REP_ERROR = 1 << 31
REP_ERR_UNSUP, REP_ERR_INVALID, REP_ERR_UNKNOWN = REP_ERROR + 1, REP_ERROR + 3, REP_ERROR + 6
INFO_EXPORT, INFO_BLOCK_SIZE = 0, 3

CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH, CMD_TRIM = 0, 1, 2, 3, 4
CMD_WRITE_ZEROES, CMD_BLOCK_STATUS = 6, 7
CMD_FLAG_FUA, CMD_FLAG_NO_HOLE, CMD_FLAG_DF = 1, 2, 4
REPLY_FLAG_DONE = 1
REPLY_OFFSET_DATA, REPLY_OFFSET_HOLE, REPLY_BLOCK_STATUS, REPLY_ERROR = 1, 2, 5, 1 << 15
STATE_ZERO = 2
EIO, EINVAL, ENOSPC, ESHUTDOWN = 5, 22, 28, 108

# Magic, flags, type, cookie, offset, length.
REQUEST = struct.Struct(">IHHQQI")
SIMPLE_REPLY = struct.Struct(">IIQ")
# After its magic: flags, type, cookie, length.
STRUCTURED_REPLY = struct.Struct(">HHQI")
OPTION = struct.Struct(">8sII")
OPTION_REPLY = struct.Struct(">QIII")

MAX_OPTION_BYTES = 64 * 1024
MAX_NAME_BYTES = 4096


class NbdError(Exception):
    """The peer broke the protocol, or closed the connection."""


def receive_exactly(connection: socket.socket, length: int) -> bytearray:
    """Receive `length` bytes.

    Raises:
        NbdError: The peer closed the connection before.
        TimeoutError: No byte came within the socket's timeout.
    """
    data = bytearray(length)
    receive_into(connection, memoryview(data))
    return data


def receive_into(connection: socket.socket, target: memoryview) -> None:
    """Fill `target`; raises as `receive_exactly`."""
    while target:
        received = connection.recv_into(target)
        if received == 0:
            raise NbdError("the connection was closed")
        target = target[received:]
