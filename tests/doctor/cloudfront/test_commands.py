"""`image-gateway cloudfront check` and `rotate`: what they print and exit with."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from image_gateway.cli.main import cli
from image_gateway.doctor.cloudfront import check_cloudfront
from image_gateway.doctor.cloudfront_rotation import Rotation
from image_gateway.storage.objects import ObjectStore
from tests.doctor.cloudfront.conftest import KEY_ID, Distribution
from tests.support.fake_cloudfront import DOMAIN, FakeCloudFront
from tests.support.keys import make_key, pem_of

Run = Callable[..., Result]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key.pem"
    file.write_text(pem_of(make_key()))
    return file


@pytest.fixture
def run(
    database_url: str,
    store: ObjectStore,
    key_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run a command against a distribution."""

    def invoke(fake: FakeCloudFront, *arguments: str) -> Result:
        for command in (check_cloudfront, Rotation):
            sending = partial(command, send=fake.send)
            monkeypatch.setattr(f"image_gateway.cli.cloudfront.{command.__name__}", sending)
        environment = {
            "S3_BUCKET": "images",
            "AWS_REGION": "us-east-1",
            "DATABASE_URL": database_url,
            "CLOUDFRONT_DOMAIN": DOMAIN,
            "CLOUDFRONT_KEY_PAIR_ID": KEY_ID,
            "CLOUDFRONT_PRIVATE_KEY_PEM": str(key_file),
            "CORS_ALLOW_ORIGIN": "https://app.example.com",
        }
        return CliRunner().invoke(cli, ["cloudfront", *arguments], env=environment)

    return invoke


def test_a_check_without_findings_exits_with_0(run: Run, distribution: Distribution) -> None:
    result = run(distribution(), "check", "--public-path", "/public")
    assert result.exit_code == 0, result.output
    assert "ok   cloudfront: a range (bytes 1-" in result.output
    assert result.output.endswith("nothing is wrong (12 checks, 1 skipped)\n")


@pytest.mark.parametrize("command", ["check", "rotate"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interruption_deletes_the_probe_objects(
    run: Run, distribution: Distribution, store: ObjectStore, command: str, number: int
) -> None:
    fake = distribution()
    served = fake.read

    def interrupt(key: str) -> bytes | None:
        if list(store.list_objects("")):
            # A second signal would end the process.
            fake.read = served
            os.kill(os.getpid(), number)
        return served(key)

    fake.read = interrupt
    before = signal.getsignal(signal.SIGTERM)
    ended = run(fake, command)
    assert (ended.exit_code, fake.read) == (130, served), ended.output
    assert list(store.list_objects("")) == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_findings_decide_about_the_exit_status(run: Run, distribution: Distribution) -> None:
    broken, warned = distribution(fault="open"), distribution(fault="no security headers")
    result = run(broken, "check", "--json")
    assert result.exit_code == 1
    [finding] = json.loads(result.output)["findings"]
    assert (finding["code"], finding["severity"]) == ("cloudfront-open", "broken")
    assert run(warned, "check").exit_code == 0
    assert run(warned, "check", "--strict").exit_code == 2


def test_a_rotation_prints_its_steps_and_marks_the_next(
    run: Run,
    distribution: Distribution,
    key_file: Path,
) -> None:
    fake = distribution()
    first = run(fake, "rotate")
    assert first.exit_code == 0, first.output
    assert f"ok   cloudfront: the key that the gateway signs with ({KEY_ID}: accepted, 206)" in first.output
    assert "\n> 1. make a key pair: image-gateway cloudfront keygen" in first.output
    added = run(fake, "rotate", "--new-key-id", "KNEW", "--new-key", str(key_file))
    assert "cloudfront-new-key-refused" in added.output
    assert "\n> 2. deploy the template" in added.output
    moment = datetime.now(UTC) - timedelta(minutes=1)
    waiting = run(fake, "rotate", *old_key(key_file), "--switched-at", f"{moment:%Y-%m-%dT%H:%M:%SZ}")
    assert waiting.exit_code == 1
    assert "cloudfront-old-key-removed-early" in waiting.output
    expiry = moment + timedelta(seconds=43_200 + 3_600)
    assert f"expires at {expiry:%Y-%m-%dT%H:%M:%SZ}." in waiting.output


def old_key(file: Path) -> list[str]:
    return ["--old-key-id", "KOLD", "--old-key", str(file)]


def test_wrong_usage_says_what_is_missing(run: Run, distribution: Distribution, tmp_path: Path) -> None:
    fake = distribution()
    alone = run(fake, "rotate", "--new-key-id", "K")
    assert (alone.exit_code, "belong together" in alone.output) == (2, True)
    (tmp_path / "bad.pem").write_text("nothing")
    bad = run(fake, "rotate", "--old-key-id", "K", "--old-key", str(tmp_path / "bad.pem"))
    assert (bad.exit_code, "the old key is neither PEM" in bad.output) == (2, True)
