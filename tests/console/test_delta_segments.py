"""The console encodes segments as the gateway does, byte by byte."""

from __future__ import annotations

import base64
import json
import subprocess
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_gateway.protocol.deltas.segment import Extent, encode_segment, parse_segment
from tests.support.installed import require_installed

SCRIPT = Path(__file__).parent / "encode_segments.mjs"
SECONDS = 60
MOST_BLOCKS = 2**40
Writes = tuple[int, dict[int, bytes]]


@pytest.fixture(scope="module", autouse=True)
def _node() -> None:
    require_installed("node")


@st.composite
def writes(draw: st.DrawFn) -> Writes:
    """A block size, and blocks by their numbers: close to each other or far away, zeros or not."""
    block_size = draw(st.sampled_from([512, 4096, 65_536]))
    numbers = st.integers(0, 20) | st.integers(0, MOST_BLOCKS - 1)
    patterns = draw(st.dictionaries(numbers, st.just(b"\0") | st.binary(min_size=1, max_size=7), min_size=1))
    blocks = {}
    for number, pattern in patterns.items():
        blocks[number] = (pattern * block_size)[:block_size]
    return block_size, blocks


def encoded_by_javascript(examples: list[Writes]) -> list[bytes]:
    as_json = [
        (size, [(number, base64.b64encode(data).decode()) for number, data in blocks.items()])
        for size, blocks in examples
    ]
    command, text = ["node", str(SCRIPT)], json.dumps(as_json)
    ended = subprocess.run(command, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode == 0, ended.stderr
    return [base64.b64decode(line) for line in ended.stdout.split()]


def encoded_by_python(block_size: int, blocks: dict[int, bytes]) -> bytes:
    """Adjacent blocks of one kind as one extent."""
    numbered = enumerate(sorted(blocks))
    runs = groupby(numbered, lambda item: (item[1] - item[0], any(blocks[item[1]])))
    extents = []
    for (_, is_data), run in runs:
        numbers = [number for _, number in run]
        data = b"".join(blocks[number] for number in numbers) if is_data else None
        extents.append(Extent(numbers[0], len(numbers), data))
    return encode_segment(block_size, extents)


@settings(max_examples=8, deadline=None)
@given(st.lists(writes(), min_size=10, max_size=30))
def test_a_segment_of_the_console_is_that_of_the_gateway(examples: list[Writes]) -> None:
    segments = encoded_by_javascript(examples)
    assert segments == [encoded_by_python(*example) for example in examples]
    for segment, (block_size, blocks) in zip(segments, examples, strict=True):
        assert parse_segment(segment, block_size=block_size, blocks=MOST_BLOCKS).blocks == len(blocks)
