"""A disk whose boot sector reads others through the BIOS and writes their CRC-32 to the serial port."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

SECTOR = 512
GREETING, WAITING, FAILED = "image-gateway boot disk", "waiting", "disk error"
# Where the BIOS loads the boot sector, and what lies in it behind the code.
_LOADED, _BUFFER = 0x7C00, 0x8000
_TEXTS, _PACKETS, _SIGNATURE = 0x100, 0x140, 0x1FE
_MOST_PACKETS = (_SIGNATURE - _PACKETS) // 16
# Assembled for 0x7C00. Texts: greeting 0x7D00, line end 0x7D20, waiting 0x7D24, error 0x7D30.
# Packets: 0x7D40.
_CODE = bytes.fromhex(
    "31c0 8ed8 8ed0"  # xor ax, ax; mov ds, ax; mov ss, ax
    "bc007c fc"  # mov sp, 0x7C00; cld
    "be007d e88900"  # mov si, greeting; call print
    "bf407d"  # mov di, packets
    # read: the next packet, INT 13h AH=42h
    "837d0200 744e"  # cmp word [di+2], 0; je pause
    "89fe b442 b280 cd13"  # mov si, di; mov ah, 0x42; mov dl, 0x80; int 0x13
    "7257"  # jc failed
    "668b4508 e85900"  # mov eax, [di+8]; call hex: the sector's number
    "b020 e87500"  # mov al, ' '; call put
    "8b4d02 c1e109"  # mov cx, [di+2]; shl cx, 9: bytes that were read
    "be0080"  # mov si, 0x8000
    "6683caff"  # or edx, -1
    # byte: CRC-32 as in zlib
    "ac 30c2 b308"  # lodsb; xor dl, al; mov bl, 8
    # bit:
    "66d1ea 7307"  # shr edx, 1; jnc even
    "6681f22083b8ed"  # xor edx, 0xEDB88320
    "fecb 75f0 e2e9"  # even: dec bl; jnz bit; loop byte
    "66f7d2 6689d0 e82700"  # not edx; mov eax, edx; call hex
    "be207d e83700"  # mov si, line end; call print
    "83c710 ebac"  # next: add di, 16; jmp read
    # pause: until a byte comes in from the serial port
    "bafd03"  # mov dx, 0x3FD: line status
    "be247d e82900"  # mov si, waiting; call print
    "ec a801 74fb"  # receive: in al, dx; test al, 1; jz receive
    "b2f8 ec ebe8"  # mov dl, 0xF8; in al, dx; jmp next
    "be307d e81900"  # failed: mov si, error; call print
    "f4 ebfd"  # halt: hlt; jmp halt
    # hex: write EAX in eight digits
    "b90800"  # mov cx, 8
    "66c1c004 50"  # digit: rol eax, 4; push ax
    "240f 3c0a 1c69 2f"  # and al, 15; cmp al, 10; sbb al, 0x69; das: '0' to '9', 'A' to 'F'
    "e80f00 58 e2ee c3"  # call put; pop ax; loop digit; ret
    # print: write the text at SI, up to a zero byte
    "ac 84c0 7405"  # lodsb; test al, al; jz printed
    "e80300 ebf6 c3"  # call put; jmp print; printed: ret
    # put: write AL to the serial port
    "52 50 bafd03"  # push dx; push ax; mov dx, 0x3FD
    "ec a820 74fb"  # full: in al, dx; test al, 0x20; jz full
    "b2f8 58 ee 5a c3"  # mov dl, 0xF8; pop ax; out dx, al; pop dx; ret
)


@dataclass(frozen=True)
class Read:
    """Sectors that the guest reads at once."""

    first: int
    count: int

    def line(self, disk: bytes) -> str:
        """What the guest writes of this read."""
        data = disk[self.first * SECTOR : (self.first + self.count) * SECTOR]
        return f"{self.first:08X} {zlib.crc32(data):08X}"


def make_boot_disk(data: bytes, reads: Sequence[Read], later: Sequence[Read]) -> bytes:
    """Return `data` with a boot sector in place of its first sector.

    Args:
        data: The disk's content.
        reads: What the guest reads before it writes `WAITING`.
        later: What it reads after it has got a byte by the serial port.
    """
    pause = [bytes(16)]
    packets = [*map(_packet, reads), *pause, *map(_packet, later), *pause]
    assert len(packets) <= _MOST_PACKETS
    boot = bytearray(SECTOR)
    boot[: len(_CODE)] = _CODE
    texts = {0: f"{GREETING}\r\n", 0x20: "\r\n", 0x24: f"{WAITING}\r\n", 0x30: f"{FAILED}\r\n"}
    for offset, text in texts.items():
        struct.pack_into(f"{len(text)}s", boot, _TEXTS + offset, text.encode())
    boot[_PACKETS : _PACKETS + 16 * len(packets)] = b"".join(packets)
    boot[_SIGNATURE:] = b"\x55\xaa"
    return bytes(boot) + data[SECTOR:]


def _packet(read: Read) -> bytes:
    """The disk address packet of INT 13h AH=42h."""
    return struct.pack("<BBHHHQ", 16, 0, read.count, _BUFFER, 0, read.first)
