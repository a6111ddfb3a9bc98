from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from streaming_plan import KIB, MIB, WORKLOADS, ControlCall, Read, Workload, read_call
from streaming_wrk import parse_result, write_plan

SIZE = 64 * MIB


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
@pytest.mark.parametrize("size", [MIB, SIZE])
def test_reads_lie_within_the_image_and_are_the_same_each_time(workload: Workload, size: int) -> None:
    plan = workload.plan(size)
    assert plan == workload.plan(size)
    for read in plan:
        assert read.start % (4 * KIB) == 0
        assert 0 <= read.start < read.start + read.length(size) <= size


def test_shared_plans_have_reads_of_one_length() -> None:
    for workload in WORKLOADS:
        if not workload.step:
            assert len({read.length(SIZE) for read in workload.plan(SIZE)}) == 1


def test_boot_trace_has_locality_and_mixed_sizes() -> None:
    (boot,) = [workload for workload in WORKLOADS if workload.step and not workload.replay]
    trace = boot.plan(SIZE)
    assert len(trace) == 300
    assert {read.length(SIZE) for read in trace} == {KIB << shift for shift in range(2, 9)}
    followed = sum(after.start == before.stop for before, after in pairwise(trace))
    assert followed > len(trace) / 2


def test_a_replay_is_long_and_jumps_over_the_whole_image() -> None:
    (workload,) = [workload for workload in WORKLOADS if workload.replay]
    trace = workload.plan(4 * SIZE)
    assert len(trace) == 2000
    assert {read.length(4 * SIZE) for read in trace} == {KIB << shift for shift in range(2, 8)}
    jumps = sum(not 0 <= after.start - before.stop <= 64 * KIB for before, after in pairwise(trace))
    assert 100 < jumps < 400
    assert {read.start // SIZE for read in trace} == {0, 1, 2, 3}


def test_calls_go_over_the_wire_as_http() -> None:
    call = read_call(Read(0, 4096), "h:1", "/a?b=%2F", SIZE)
    assert call.head == "GET /a?b=%2F HTTP/1.1\r\nHost: h:1\r\nRange: bytes=0-4095\r\n\r\n"
    assert (call.status, call.length) == (206, 4096)
    whole = read_call(Read(), "h:1", "/a", SIZE)
    assert "Range" not in whole.head
    assert (whole.status, whole.length) == (200, SIZE)
    posted = ControlCall("x", "POST", "/x", {"a": 1}).call("h:1", "me").head
    assert posted.endswith('Content-Length: 8\r\n\r\n{"a": 1}')


def test_plans_are_lua(tmp_path: Path) -> None:
    path = tmp_path / "plan.lua"
    write_plan(path, [ControlCall("x", "GET", '/"', None).call("h", "me")])
    assert path.read_text() == (
        'return {\n{"GET /\\" HTTP/1.1\\r\\nHost: h\\r\\nX-User-Id: me\\r\\n\\r\\n", -1},\n}\n'
    )


def test_the_result_of_wrk_is_read() -> None:
    load = parse_result("noise\nRESULT 10 4096 2000000 1 1500 9000 status 503, 9 bytes\n")
    assert (load.requests, load.bytes, load.seconds, load.errors) == (10, 4096, 2.0, 1)
    assert (load.p50, load.p99, load.complaint) == (1.5, 9.0, "status 503, 9 bytes")
    assert parse_result("RESULT 1 1 1 0 1 1 \n").complaint == ""
