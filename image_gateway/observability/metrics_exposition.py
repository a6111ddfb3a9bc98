"""The metrics page: the numbers of all processes of this machine, summed."""

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
from image_gateway.observability.metrics import BuildInfo, OpenUploads
from image_gateway.observability.metrics_folder import shared_folder

ENDED = 0
_Value = tuple[float, float]
# By the names of files: how two processes' values of a series, with their times, become one.
# Other gauges are of the living only.
KINDS: dict[str, Callable[[_Value, _Value], _Value]] = {
    "counter": lambda one, other: (one[0] + other[0], 0.0),
    "histogram": lambda one, other: (one[0] + other[0], 0.0),
    "gauge_mostrecent": lambda one, other: max(one, other, key=lambda value: value[1]),
}
_LOCK = "lock"


class SharedNumbers(Collector):
    """Reads the folder; never while the files of ended workers are being put together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        with _locked(self._folder, fcntl.LOCK_SH):
            # A process that starts makes its files empty first.
            files = [str(file) for file in self._folder.glob("*.db") if file.stat().st_size]
            metrics: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
            return list(metrics)


def fold_ended(folder: Path, living: Collection[int]) -> None:
    """Put the files of processes that are not `living` together: each reload leaves a set of them.

    While somebody reads them they are left for the next time: what is in two files would count twice, and
    a counter that goes down again looks like a restart.
    """
    for file in folder.glob("gauge_live*.db"):
        if _pid_of(file) not in living:
            mark_process_dead(_pid_of(file), str(folder))  # type: ignore[no-untyped-call]
    try:
        with _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            for kind in KINDS:
                _fold(folder, kind, [f for f in folder.glob(f"{kind}_*.db") if _pid_of(f) not in living])
    except BlockingIOError:
        return


def _fold(folder: Path, kind: str, ended: Collection[Path]) -> None:
    whole = folder / f"{kind}_{ENDED}.db"
    if set(ended) <= {whole}:
        return
    values: dict[str, _Value] = {}
    for key, value in _read_all(ended):
        values[key] = KINDS[kind](values[key], value) if key in values else value
    _write(whole, values)
    for file in set(ended) - {whole}:
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
    """A text in Prometheus's format, and its content type."""

    text: bytes
    content_type: str


class Exposition:
    """Renders all metrics; `count_uploads` asks the catalog for open uploads and their bytes.

    Read from `folder` where workers share their numbers, from this process's memory otherwise; `more` are
    what this process alone knows.
    """

    def __init__(
        self,
        count_uploads: Callable[[], tuple[int, int]],
        folder: Path | None = None,
        more: Iterable[Collector] = (),
    ) -> None:
        folder = folder or shared_folder()
        self._registry = CollectorRegistry()
        self._registry.register(SharedNumbers(folder) if folder else OwnNumbers())
        self._registry.register(OpenUploads(count_uploads))
        self._registry.register(BuildInfo())
        for collector in more:
            self._registry.register(collector)

    def render(self) -> Page:
        """The page as it is now."""
        return Page(generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4)


class OwnNumbers(Collector):
    """The gateway's instruments in this process, without what the library adds about Python."""

    def collect(self) -> Iterable[Metric]:
        return [metric for metric in REGISTRY.collect() if metric.name.startswith(PREFIX)]
