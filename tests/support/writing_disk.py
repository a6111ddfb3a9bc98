"""A disk whose boot sector keeps a text in another sector, by commands that come from the serial port.

At the start and after `r` it writes `holds TEXT`. `wTEXT` and a carriage return put another text there
(`written`), and `f` flushes the disk (`flushed`).
"""

from __future__ import annotations

import struct

from tests.support.boot_disk import SECTOR

GREETING, WRITTEN, FLUSHED, FAILED = "image-gateway writing disk", "written", "flushed", "disk error"
# Where the text is: one sector within a block of 4 KiB.
TEXT_SECTOR = 4099
_BUFFER = 0x8000
_TEXTS, _PACKET, _SIGNATURE = 0x100, 0x150, 0x1FE
# Assembled for 0x7C00. Texts: greeting 0x7D00, holds 0x7D20, line end 0x7D28, written 0x7D2C, flushed 0x7D38,
# error 0x7D44. Packet: 0x7D50.
_CODE = bytes.fromhex(
    "31c0 8ed8 8ec0 8ed0"  # xor ax, ax; mov ds, ax; mov es, ax; mov ss, ax
    "bc007c fc"  # mov sp, 0x7C00; cld
    "be007d e88200"  # mov si, greeting; call print
    "b442 e85c00"  # show: mov ah, 0x42; call disk
    "be207d e87700"  # mov si, holds; call print
    "be0080 e87100"  # mov si, buffer; call print
    "be287d e86b00"  # mov si, line end; call print
    "e85c00"  # wait: call receive
    "3c72 74e2"  # cmp al, 'r'; je show
    "3c66 7428"  # cmp al, 'f'; je flush
    "3c77 75f1"  # cmp al, 'w'; jne wait
    "bf0080 b90001 31c0 f3ab"  # mov di, buffer; mov cx, 256; xor ax, ax; rep stosw
    "bf0080"  # mov di, buffer
    "e84000 3c0d 7403"  # next: call receive; cmp al, 13; je write
    "aa ebf6"  # stosb; jmp next
    "b443 e81f00"  # write: mov ah, 0x43; call disk
    "be2c7d e83a00 ebcd"  # mov si, written; call print; jmp wait
    "baf601 b0e0 ee"  # flush: mov dx, 0x1F6; mov al, 0xE0; out dx, al: the first drive
    "42 b0e7 ee"  # inc dx; mov al, 0xE7; out dx, al: FLUSH CACHE
    "ec a880 75fb"  # busy: in al, dx; test al, 0x80; jnz busy
    "be387d e82300 ebb6"  # mov si, flushed; call print; jmp wait
    "b000 b280 be507d"  # disk: mov al, 0; mov dl, 0x80; mov si, packet
    "cd13 7201 c3"  # int 0x13; jc failed; ret
    "be447d e80f00"  # failed: mov si, error; call print
    "f4 ebfd"  # halt: hlt; jmp halt
    "bafd03"  # receive: mov dx, 0x3FD: line status
    "ec a801 74fb"  # empty: in al, dx; test al, 1; jz empty
    "b2f8 ec c3"  # mov dl, 0xF8; in al, dx; ret
    "ac 84c0 740f"  # print: lodsb; test al, al; jz printed
    "50 bafd03"  # push ax; mov dx, 0x3FD
    "ec a820 74fb"  # full: in al, dx; test al, 0x20; jz full
    "b2f8 58 ee ebec c3"  # mov dl, 0xF8; pop ax; out dx, al; jmp print; printed: ret
)


def make_writing_disk(size: int, text: str) -> bytes:
    """Return a disk of `size` bytes, zeros but for the boot sector and the text."""
    boot = bytearray(SECTOR)
    boot[: len(_CODE)] = _CODE
    texts = {0: f"{GREETING}\r\n", 0x20: "holds ", 0x28: "\r\n"}
    texts |= {0x2C: f"{WRITTEN}\r\n", 0x38: f"{FLUSHED}\r\n", 0x44: f"{FAILED}"}
    for offset, line in texts.items():
        struct.pack_into(f"{len(line)}s", boot, _TEXTS + offset, line.encode())
    # The disk address packet of INT 13h AH=42h and 43h.
    struct.pack_into("<BBHHHQ", boot, _PACKET, 16, 0, 1, _BUFFER, 0, TEXT_SECTOR)
    boot[_SIGNATURE:] = b"\x55\xaa"
    disk = bytearray(size)
    disk[:SECTOR] = boot
    start = TEXT_SECTOR * SECTOR
    disk[start : start + len(text)] = text.encode()
    return bytes(disk)
