"""Samples, their medians over rounds, and the tables that tell them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MIB, GIB = 2**20, 2**30
Row = dict[str, float]


@dataclass(frozen=True)
class Sample:
    """One server under one workload for some seconds; CPU in seconds, memory in bytes, latency in ms.

    `store_cpu` is what the store spent meanwhile, for itself or behind the server.
    """

    server: str
    workload: str
    round: int
    requests: int
    bytes: int
    seconds: float
    errors: int
    p50: float
    p99: float
    server_cpu: float
    store_cpu: float
    generator_cpu: float
    wall: float
    peak_rss: int
    peak_pss: int
    complaint: str = ""

    def row(self) -> Row:
        """The figures of the table."""
        return {
            "req_s": _over(self.requests, self.seconds),
            "mib_s": _over(self.bytes / MIB, self.seconds),
            "p50_ms": self.p50,
            "p99_ms": self.p99,
            "errors": self.errors,
            "cpu_s_per_1000": _over(self.server_cpu * 1000, self.requests),
            "cpu_s_per_gib": _over(self.server_cpu * GIB, self.bytes),
            "store_cpu_s_per_1000": _over(self.store_cpu * 1000, self.requests),
            "generator_cores": _over(self.generator_cpu, self.wall),
            "peak_rss_mib": self.peak_rss / MIB,
            "peak_pss_mib": self.peak_pss / MIB,
        }


def _over(amount: float, by: float) -> float:
    return amount / by if by else 0.0


COLUMNS = {
    "req_s": ("req/s", 1),
    "mib_s": ("MiB/s", 1),
    "p50_ms": ("p50 ms", 2),
    "p99_ms": ("p99 ms", 2),
    "errors": ("errors", 0),
    "cpu_s_per_1000": ("CPU s/1k", 3),
    "cpu_s_per_gib": ("CPU s/GiB", 3),
    "store_cpu_s_per_1000": ("store s/1k", 3),
    "peak_rss_mib": ("RSS MiB", 0),
    "peak_pss_mib": ("PSS MiB", 0),
    "generator_cores": ("gen cores", 2),
}
Results = dict[str, dict[str, Row]]


def medians(samples: Sequence[Sample]) -> Results:
    """Workload → server → the median over rounds of each figure; errors are summed."""
    results = _medians([(sample.workload, sample.server, sample.row()) for sample in samples])
    for servers in results.values():
        for row in servers.values():
            row["errors"] = 0
    for sample in samples:
        results[sample.workload][sample.server]["errors"] += sample.errors
    return results


def _medians(found: Sequence[tuple[str, str, Row]]) -> Results:
    groups: dict[str, dict[str, list[Row]]] = {}
    for workload, server, row in found:
        groups.setdefault(workload, {}).setdefault(server, []).append(row)
    return {
        workload: {
            server: {name: statistics.median(row[name] for row in rows) for name in rows[0]}
            for server, rows in servers.items()
        }
        for workload, servers in groups.items()
    }


def server_ratios(samples: Sequence[Sample], *, base: str) -> Results:
    """Workload → server → its figures as multiples of the server `base`'s: the median of each round's."""
    rows = {(sample.workload, sample.round): sample.row() for sample in samples if sample.server == base}
    return _median_ratios(
        [(sample, rows.get((sample.workload, sample.round))) for sample in samples if sample.server != base]
    )


def workload_ratios(samples: Sequence[Sample], *, base: str) -> Results:
    """The same as multiples of the same server's under the workload `base`."""
    rows = {(sample.server, sample.round): sample.row() for sample in samples if sample.workload == base}
    return _median_ratios(
        [(sample, rows.get((sample.server, sample.round))) for sample in samples if sample.workload != base]
    )


def _median_ratios(pairs: Sequence[tuple[Sample, Row | None]]) -> Results:
    return _medians(
        [(sample.workload, sample.server, _ratio(sample.row(), base)) for sample, base in pairs if base]
    )


def _ratio(row: Row, base: Row) -> Row:
    return {
        "throughput": _over(row["req_s"], base["req_s"]),
        "p50": _over(row["p50_ms"], base["p50_ms"]),
        "p99": _over(row["p99_ms"], base["p99_ms"]),
        "cpu": _over(row["cpu_s_per_1000"], base["cpu_s_per_1000"]),
    }


def results_table(results: Results, titles: Mapping[str, str]) -> str:
    head = ["workload", "server", *(title for title, _ in COLUMNS.values())]
    rows = [
        [titles.get(workload, workload), server, *_figures(row)]
        for workload, servers in results.items()
        for server, row in servers.items()
    ]
    return render(head, rows)


def _figures(row: Row) -> list[str]:
    return [f"{row[name]:.{digits}f}" for name, (_, digits) in COLUMNS.items()]


def ratio_table(found: Results, titles: Mapping[str, str]) -> str:
    head = ["workload", "server", "throughput", "p50", "p99", "server CPU"]
    rows = [
        [titles.get(workload, workload), server, *(f"{value:.2f}" for value in row.values())]
        for workload, servers in found.items()
        for server, row in servers.items()
    ]
    return render(head, rows)


def render(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: two columns of words, the others of figures."""
    widths = [max(len(line[column]) for line in [head, *rows]) for column in range(len(head))]

    def text(line: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return f"| {' | '.join(cells)} |"

    rule = [("-" * width) if column < 2 else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([text(head), text(rule), *(text(row) for row in rows)])
