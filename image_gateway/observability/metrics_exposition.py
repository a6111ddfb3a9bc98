"""The metrics page: the values of all processes on this machine, aggregated."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

import image_gateway.observability.metrics  # noqa: F401  # they register themselves
from image_gateway.observability.catalog_metrics import CatalogNumbers, JobNumbers
from image_gateway.observability.metrics import BuildInfo
from image_gateway.observability.metrics_folder import shared_folder

ENDED = 0
_Value = tuple[float, float]
# How the values of two ended processes are merged, by file name prefix. Values are (value, timestamp).
# Other gauges exist for live processes only.
MERGE_FUNCTIONS: dict[str, Callable[[_Value, _Value], _Value]] = {
    "counter": lambda one, other: (one[0] + other[0], 0.0),
    "histogram": lambda one, other: (one[0] + other[0], 0.0),
    "gauge_mostrecent": lambda one, other: max(one, other, key=lambda value: value[1]),
}
_LOCK = "lock"


class SharedNumbers(Collector):
    """Reads the metrics files of all processes, but not while the files of ended workers are being merged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        with _locked(self._folder, fcntl.LOCK_SH):
            # A starting process creates its files empty.
            files = [str(file) for file in self._folder.glob("*.db") if file.stat().st_size]
            metrics: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
            return list(metrics)


def fold_ended(folder: Path, living: Collection[int]) -> None:
    """Merge the files of ended processes into one per kind, because each reload leaves a set of files.

    Skipped while another process reads the files: a value in two files would be counted twice, and a
    decreasing counter looks like a restart.
    """
    for file in folder.glob("gauge_live*.db"):
        if _pid_of(file) not in living:
            mark_process_dead(_pid_of(file), str(folder))  # type: ignore[no-untyped-call]
    try:
        with _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            for kind in MERGE_FUNCTIONS:
                _merge(folder, kind, [f for f in folder.glob(f"{kind}_*.db") if _pid_of(f) not in living])
    except BlockingIOError:
        return


def _merge(folder: Path, kind: str, ended: Collection[Path]) -> None:
    merged = folder / f"{kind}_{ENDED}.db"
    if set(ended) <= {merged}:
        return
    values: dict[str, _Value] = {}
    for key, value in _read_all(ended):
        values[key] = MERGE_FUNCTIONS[kind](values[key], value) if key in values else value
    _write(merged, values)
    for file in set(ended) - {merged}:
        file.unlink()


def _read_all(files: Iterable[Path]) -> Iterator[tuple[str, _Value]]:
    for file in files:
        if file.stat().st_size:
            for key, value, moment, _ in MmapedDict.read_all_values_from_file(file):  # type: ignore[no-untyped-call]
                yield key, (value, moment)


def _write(file: Path, values: dict[str, _Value]) -> None:
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    written = MmapedDict(str(new))  # type: ignore[no-untyped-call]
    for key, (value, moment) in values.items():
        written.write_value(key, value, moment)  # type: ignore[no-untyped-call]
    written.close()  # type: ignore[no-untyped-call]
    new.rename(file)


def _pid_of(file: Path) -> int:
    return int(file.stem.rpartition("_")[2])


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    with (folder / _LOCK).open("a") as file:
        fcntl.flock(file, how)
        yield


PREFIX = "image_gateway_"


class Page(NamedTuple):
    """A page in Prometheus's text format, and its content type."""

    text: bytes
    content_type: str


class Exposition:
    """Renders all metrics.

    Args:
        count_uploads: Returns the number of open uploads and their bytes from the catalog.
        folder: Where worker processes share their metrics; None reads this process's memory.
        more: Collectors of this process only.
        count_jobs: Returns number and seconds of the jobs by kind and state from the catalog.
    """

    def __init__(
        self,
        count_uploads: Callable[[], tuple[int, int]],
        folder: Path | None = None,
        more: Iterable[Collector] = (),
        count_jobs: Callable[[], JobNumbers] = lambda: (),
    ) -> None:
        folder = folder or shared_folder()
        self._registry = CollectorRegistry()
        self._registry.register(SharedNumbers(folder) if folder else OwnNumbers())
        self._registry.register(CatalogNumbers(count_uploads, count_jobs))
        self._registry.register(BuildInfo())
        for collector in more:
            self._registry.register(collector)

    def render(self) -> Page:
        """Return the current page."""
        return Page(generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4)


class OwnNumbers(Collector):
    """The gateway's metrics of this process, without the client library's own metrics about Python."""

    def collect(self) -> Iterable[Metric]:
        return [metric for metric in REGISTRY.collect() if metric.name.startswith(PREFIX)]
