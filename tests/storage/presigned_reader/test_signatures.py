"""Presigned URLs: how long they serve, by which credentials, and that nobody sees them."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest

from image_gateway.errors import StoreError
from image_gateway.protocol.ranges import ByteRange
from image_gateway.storage import presigned_reader as reads_module
from tests.storage.presigned_reader.conftest import DATA, NO_LENGTH, Lean, count_signatures, saying
from tests.support.fake_store import (
    FakeStore,
    Reply,
    Script,
    error_answer,
    object_answer,
    render,
)


def test_a_url_serves_for_five_minutes(lean: Lean, fake: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(reads_module, "time", SimpleNamespace(monotonic=lambda: now))
    signed = count_signatures(lean.clients)
    for now in (1000.0, 1001.0, 1299.9):
        lean.read("a", byte_range=ByteRange(0, int(now) - 999))
    assert signed == ["a"]
    assert len({asked.target for asked in fake.asked}) == 1
    assert int(fake.asked[0].query["X-Amz-Expires"]) >= 2 * 300
    lean.read("b")
    assert signed == ["a", "b"]
    now = 1300.0
    lean.read("a")
    assert signed == ["a", "b", "a"]


def test_few_urls_are_kept(lean: Lean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads_module, "MAX_CACHED_URLS", 3)
    signed = count_signatures(lean.clients)
    for key in ("a", "b", "c", "d", "d", "c", "b"):
        lean.read(key)
    assert signed == ["a", "b", "c", "d"]
    lean.read("a")
    assert signed[-1] == "a"


def test_temporary_credentials(fake: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIA1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session/token+")
    lean = Lean(fake.clients(credentials=None))
    assert lean.read() == DATA
    assert fake.asked[0].query["X-Amz-Security-Token"] == "session/token+"
    assert fake.asked[0].query["X-Amz-Credential"].startswith("ASIA1/")
    lean.close_kept()


def test_no_credentials(fake: FakeStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StoreError, match="no credentials"):
        Lean(fake.clients(credentials=None)).read()
    assert fake.asked == []


TROUBLES: dict[str, Script] = {
    "refused": saying(error_answer(403, "AccessDenied")),
    "busy": saying(error_answer(503, "SlowDown")),
    "garbage": saying(b"garbage\r\n\r\n", "close"),
    "reset": saying(b"", "reset"),
    "no range": saying(render("200 OK", {**NO_LENGTH, "Content-Length": "5"}, b"hello")),
    "cut": lambda asked: Reply(object_answer(asked, DATA)[:-9], "close"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_no_signature_gets_into_logs_or_errors(
    lean: Lean, fake: FakeStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("image_gateway.storage.body.RETRY_DELAYS", (0,))
    for logger in ("image_gateway", "urllib3"):
        caplog.set_level(logging.DEBUG, logger)
    fake.answer = TROUBLES[name]
    with pytest.raises(Exception) as caught:  # noqa: PT011  # whichever it is
        lean.read(byte_range=ByteRange(0, len(DATA)))
    signature = fake.asked[0].query["X-Amz-Signature"]
    told = [caplog.text, repr(lean.reads), repr(lean.store), repr(lean.reads._pools)]
    error: BaseException | None = caught.value
    while error is not None:
        told += [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
        error = error.__cause__ or error.__context__
    for text in told:
        assert "X-Amz" not in text
        assert signature not in text
        assert "secret" not in text
