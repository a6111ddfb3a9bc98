"""Numbers of several processes: added up, kept when a process ends, and in a bounded number of files."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from image_gateway.observability.metrics_exposition import Exposition, fold_ended
from image_gateway.observability.metrics_folder import VARIABLE, keep_numbers, share_numbers, shared_folder
from tests.support.numbers import parse_page, total

# Counts, and says which process it was.
COUNT = """
import os
from image_gateway.observability import metrics as i
from image_gateway.observability.metrics import record_request
record_request("/x", "GET", 200, seconds=0.02, first_byte=0.01, sent=100)
i.BODY_RESUMES.inc(2)
i.ACTIVE_STREAMS.inc()
i.CACHE_BYTES.set(os.getpid())
print(os.getpid(), i.__file__ and sorted(os.listdir(os.environ.get("PROMETHEUS_MULTIPROC_DIR", "/nowhere"))))
"""


def count(folder: Path) -> int:
    """Let another process count; returns its id."""
    environment = {**os.environ, VARIABLE: str(folder)}
    ended = subprocess.run([sys.executable, "-c", COUNT], env=environment, capture_output=True, check=True)
    return int(ended.stdout.split()[0])


def scrape(folder: Path) -> dict[str, float]:
    samples = parse_page(Exposition(lambda: (0, 0), folder).render().text.decode())
    labels = {"route": "/x", "method": "GET"}
    return {
        "requests": total(samples, "requests_total", status="200", **labels),
        "bucket": total(samples, "request_seconds_bucket", le="0.025", **labels),
        "count": total(samples, "request_seconds_count", **labels),
        "seconds": round(total(samples, "request_seconds_sum", **labels), 6),
        "sent": total(samples, "sent_bytes_total", route="/x"),
        "resumes": total(samples, "body_resumes_total"),
        "streams": total(samples, "active_streams"),
        "cache": total(samples, "cache_bytes"),
    }


def expected(processes: int, *, living: int, last: int) -> dict[str, float]:
    return {
        "requests": processes,
        "bucket": processes,
        "count": processes,
        "seconds": round(0.02 * processes, 6),
        "sent": 100 * processes,
        "resumes": 2 * processes,
        "streams": living,
        "cache": last,
    }


def test_they_add_up_and_outlive_their_processes(tmp_path: Path) -> None:
    first, second = count(tmp_path), count(tmp_path)
    assert scrape(tmp_path) == expected(2, living=2, last=second)
    fold_ended(tmp_path, {second})
    assert scrape(tmp_path) == expected(2, living=1, last=second)
    assert not list(tmp_path.glob(f"*_{first}.db"))
    third = count(tmp_path)
    fold_ended(tmp_path, {third})
    fold_ended(tmp_path, {third})
    assert scrape(tmp_path) == expected(3, living=1, last=third)
    fold_ended(tmp_path, set())
    assert scrape(tmp_path) == expected(3, living=0, last=third)
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"counter_0.db", "histogram_0.db", "gauge_mostrecent_0.db", "lock"}


def test_files_stay_apart_while_somebody_reads(tmp_path: Path) -> None:
    pid = count(tmp_path)
    with (tmp_path / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        fold_ended(tmp_path, set())
        assert (tmp_path / f"counter_{pid}.db").exists()
    fold_ended(tmp_path, set())
    assert scrape(tmp_path) == expected(1, living=0, last=pid)


def test_a_file_that_is_not_begun_yet_is_no_trouble(tmp_path: Path) -> None:
    pid = count(tmp_path)
    (tmp_path / "counter_1.db").touch()
    (tmp_path / "counter_0.new").write_bytes(b"left behind")
    assert scrape(tmp_path) == expected(1, living=1, last=pid)
    fold_ended(tmp_path, {pid})
    fold_ended(tmp_path, set())
    assert scrape(tmp_path) == expected(1, living=0, last=pid)


def test_gauges_that_would_stay_for_ever_are_known() -> None:
    from prometheus_client import Gauge

    from image_gateway.observability import metrics as instruments
    from image_gateway.observability.metrics_exposition import MERGE_FUNCTIONS

    gauges = [value for value in vars(instruments).values() if isinstance(value, Gauge)]
    assert gauges
    for gauge in gauges:
        mode = gauge._multiprocess_mode
        assert mode.startswith("live") or f"gauge_{mode}" in MERGE_FUNCTIONS, gauge


def test_the_folder_is_the_process_s_own_and_goes_with_it(tmp_path: Path) -> None:
    script = (
        "import os\n"
        "from image_gateway.observability.metrics_folder import share_numbers\n"
        "folder = share_numbers()\n"
        "pid = os.fork()\n"
        "if pid == 0: raise SystemExit(0)\n"
        "os.waitpid(pid, 0)\n"
        "print(folder, folder.is_dir(), list(folder.iterdir()))\n"
    )
    environment = {**os.environ, VARIABLE: "/somewhere/else", "TMPDIR": str(tmp_path)}
    shown = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    folder, was_there, content = shown.stdout.decode().split()
    assert (was_there, content) == ("True", "[]")
    assert Path(folder).parent == tmp_path
    assert not Path(folder).exists()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/somewhere/else")


def test_nothing_is_shared_unless_asked(environment: None) -> None:
    keep_numbers()
    assert shared_folder() is None


def test_what_shares_is_said_by_the_environment(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_gateway.observability.metrics_folder.atexit.register", lambda *_: None)
    folder = share_numbers()
    assert shared_folder() == folder
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()


@pytest.mark.parametrize("shared", [True, False])
def test_the_configuration_of_gunicorn_decides_in_time(shared: bool, tmp_path: Path) -> None:
    """Whatever it imports, instruments are made after it has been decided where they are kept."""
    script = (
        "import image_gateway.serving.gunicorn_config\n"
        "from image_gateway.observability.metrics import STORE_CALLS\n"
        "print(STORE_CALLS._value._multiprocess)\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "S3_BUCKET": "images",
        "AWS_REGION": "us-east-1",
        "TMPDIR": str(tmp_path),
        **({"METRICS_TOKEN": "t" * 16} if shared else {VARIABLE: str(tmp_path)}),
    }
    shown = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (shown.stdout, shown.stderr) == (f"{shared}\n", "")
    assert list(tmp_path.iterdir()) == []
