from __future__ import annotations

import os

from streaming_report import (
    Sample,
    medians,
    ratio_table,
    render,
    results_table,
    server_ratios,
    workload_ratios,
)
from streaming_usage import cpu_seconds, memory_of, processes_of


def sample(server: str, number: int, requests: int, *, workload: str = "w", cpu: float = 1.0) -> Sample:
    return Sample(
        server=server,
        workload=workload,
        round=number,
        requests=requests,
        bytes=requests * 2**20,
        seconds=2.0,
        errors=1,
        p50=1.0,
        p99=2.0,
        server_cpu=cpu,
        store_cpu=0.5,
        generator_cpu=1.0,
        wall=2.0,
        peak_rss=2**20,
        peak_pss=2**20,
    )


def test_medians_are_over_rounds_and_errors_are_summed() -> None:
    row = medians([sample("a", number, count) for number, count in enumerate([100, 1000, 200])])["w"]["a"]
    assert (row["req_s"], row["mib_s"], row["errors"]) == (100, 100, 3)
    assert (row["cpu_s_per_1000"], row["store_cpu_s_per_1000"]) == (5, 2.5)
    assert (row["cpu_s_per_gib"], row["generator_cores"], row["peak_rss_mib"]) == (5.12, 0.5, 1)


def test_a_server_that_answered_nothing_has_zeros() -> None:
    assert medians([sample("a", 0, 0)])["w"]["a"]["cpu_s_per_1000"] == 0


def test_ratios_compare_what_ran_in_the_same_round() -> None:
    samples = [
        *(sample("store", number, count) for number, count in enumerate([100, 1000, 10])),
        *(sample("a", number, count, cpu=3.0) for number, count in enumerate([50, 600, 4])),
    ]
    found = server_ratios(samples, base="store")
    assert list(found["w"]) == ["a"]
    assert found["w"]["a"]["throughput"] == 0.5
    assert found["w"]["a"]["cpu"] == 6
    assert server_ratios(samples, base="other") == {}


def test_routes_are_compared_on_one_server() -> None:
    samples = [sample("a", 0, 100), sample("a", 0, 50, workload="v")]
    assert workload_ratios(samples, base="w")["v"]["a"]["throughput"] == 0.5


def test_tables_have_lines_of_one_width() -> None:
    samples = [sample("store", 0, 100), sample("a longer name", 0, 12345)]
    for table in (
        results_table(medians(samples), {"w": "title"}),
        ratio_table(server_ratios(samples, base="store"), {}),
        render(["a", "b", "c"], []),
    ):
        assert len({len(line) for line in table.splitlines()}) == 1


def test_usage_of_this_process() -> None:
    assert os.getpid() in processes_of(os.getpid())
    assert cpu_seconds(os.getpid()) > 0
    rss, pss = memory_of(os.getpid())
    assert rss >= pss > 0
