"""The run as a whole: order, time limits, interruptions, invalid settings, exit statuses."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
from click.testing import CliRunner, Result

from image_gateway.cli.main import cli
from image_gateway.doctor.run import choose, examine, subjects
from image_gateway.doctor.store import check_store_target
from image_gateway.domain.findings import Check, Severity
from image_gateway.settings import Settings
from image_gateway.storage.client import StoreClients
from tests.doctor.conftest import Doctor
from tests.support.environments import VARIABLES, load

NEVER = threading.Event()


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *arguments], env=environ)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "AWS_PROFILE"):
        monkeypatch.delenv(name or "", raising=False)


def test_a_subject_that_hangs_is_told_and_the_next_one_is_examined() -> None:
    ended = threading.Event()

    def hangs(_: Settings) -> Iterator[Check]:
        yield Check("database", "first")
        ended.wait(30)
        yield Check("database", "second")

    chosen = {"database": hangs, "store": lambda _: iter([Check("store", "third")])}
    started = time.monotonic()
    checks = list(examine(load, chosen, stop=NEVER, seconds=0.2, removal_seconds=0.2))
    ended.set()
    assert [check.name for check in checks] == ["first", "the checks end", "third"]
    assert [finding.code for finding in checks[1].findings] == ["doctor-timeout"]
    assert time.monotonic() - started < 20


def test_a_check_that_raises_is_a_finding_without_its_message() -> None:
    def raises(_: Settings) -> Iterator[Check]:
        yield Check("database", "first")
        raise OSError("postgresql://user:password@host refuses")

    first, failed = examine(load, {"database": raises}, stop=NEVER)
    (finding,) = failed.findings
    assert (first.name, finding.code, finding.severity) == ("first", "doctor-failed", Severity.BROKEN)
    assert "OSError" in finding.what
    assert "password" not in repr(finding)


def test_an_interruption_removes_what_was_written(doctor: Doctor, clients: StoreClients) -> None:
    stop = threading.Event()
    subject = partial(lambda target, _: check_store_target(target), doctor.target())
    names = []
    for check in examine(load, {"store": subject, "later": subject}, stop=stop):
        names.append(check.name)
        if check.name == "the call UploadPart":
            stop.set()
    assert names[-1] == "nothing is left behind"
    assert names.count("nothing is left behind") == 1
    assert "ranges" not in names
    assert "Contents" not in clients.requests.list_objects_v2(Bucket="images")
    assert "Uploads" not in clients.requests.list_multipart_uploads(Bucket="images")


def test_each_invalid_setting_is_a_finding_and_the_rest_is_skipped() -> None:
    ended = run("--json", S3_BUCKET="x", WEB_THREADS="none", AWS_REGION="us-east-1")
    assert ended.exit_code == 1
    document = json.loads(ended.stdout)
    whats = [finding["what"] for finding in document["findings"]]
    assert {finding["code"] for finding in document["findings"]} == {"settings-invalid"}
    assert [what.partition("=")[0] for what in whats] == ["S3_BUCKET", "WEB_THREADS"]
    assert document["checks"][1]["skipped"] == "the settings are invalid"


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"S3_ENDPOINT": "http://store:9000"}, "settings-internal-endpoint"),
        ({"GATEWAY_AUTH_MODE": "cookie"}, "settings-cookies-rejected"),
        (
            {"HOST": "10.0.0.1", "TRUSTED_PROXY_HOPS": "1", "PUBLIC_URL": "https://a.example"},
            "settings-dev-auth",
        ),
    ],
)
def test_settings_that_do_not_work_together_are_told(environ: dict[str, str], code: str) -> None:
    ended = run("--only", "settings", "--json", S3_BUCKET="images", AWS_REGION="us-east-1", **environ)
    assert [finding["code"] for finding in json.loads(ended.stdout)["findings"]] == [code]


def test_a_time_limit_is_a_number() -> None:
    ended = run("--only", "jobs", "--timeout", "nan")
    assert ended.exit_code == 2
    assert "nan is not a number of seconds" in ended.output


def test_warnings_fail_only_a_strict_run() -> None:
    environ = {"S3_BUCKET": "images", "AWS_REGION": "us-east-1", "GATEWAY_AUTH_MODE": "cookie"}
    relaxed, strict = (run("--only", "settings", *options, **environ) for options in ([], ["--strict"]))
    assert (relaxed.exit_code, strict.exit_code) == (0, 2)
    assert "[settings-cookies-rejected]" in relaxed.stdout
    assert "0 broken, 1 warning (" in relaxed.stdout


def test_only_known_subjects_are_examined() -> None:
    ended = run("--only", "store,moon")
    assert ended.exit_code == 2
    assert f"moon cannot be examined; known: {', '.join(subjects())}" in " ".join(ended.stderr.split())
    assert list(choose(["store"])) == ["store"]
    assert list(choose([])) == list(subjects())


def test_a_store_that_is_down_is_told_with_what_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-key-of-the-tests")
    ended = run(
        S3_BUCKET="images",
        AWS_REGION="us-east-1",
        S3_ENDPOINT=f"http://127.0.0.1:{port}",
        S3_FORCE_PATH_STYLE="true",
    )
    assert ended.exit_code == 1
    assert (
        f"FAIL store: the store answers: http://127.0.0.1:{port}: the connection was refused" in ended.stdout
    )
    assert "do:  start the store" in ended.stdout
    assert "hidden-key" not in ended.output
    assert isinstance(ended.exception, SystemExit)
