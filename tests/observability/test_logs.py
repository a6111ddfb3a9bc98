"""The shape of log lines, json and text, and gunicorn's access log without secrets."""

from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from structlog.contextvars import bind_contextvars, clear_contextvars

from image_gateway.observability.logs import configure_logging, logging_config, make_formatter
from image_gateway.serving.access_log import AccessLogger
from tests.support.log_lines import written_lines

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"
_log = logging.getLogger("image_gateway.test")


@pytest.fixture(autouse=True)
def no_context() -> Iterator[None]:
    clear_contextvars()
    yield
    clear_contextvars()


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """For tests that configure the process's logging."""
    names = ["", "image_gateway", "image_gateway.audit", "gunicorn.error", "gunicorn.access"]
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    yield
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        for handler in logger.handlers:
            if handler not in handlers:
                handler.close()
        logger.handlers[:], logger.propagate = handlers, propagate


def test_a_line_is_an_object_with_extras_and_context() -> None:
    bind_contextvars(request_id="r1", user="alice")
    with written_lines() as lines:
        _log.info("made %d\nthings", 2, extra={"image": "i1", "user": "bob", "event": "x", "sizes": (1, 2)})
    (line,) = lines.parsed()
    assert list(line) == ["time", "level", "logger", "pid", "event", "image", "user", "sizes", "request_id"]
    assert line["time"][10] + line["time"][19] + line["time"][-1] == "T.Z"
    assert (line["level"], line["logger"], line["event"]) == ("info", "image_gateway.test", "made 2\nthings")
    assert (line["user"], line["sizes"], line["request_id"]) == ("bob", [1, 2], "r1")


def test_exceptions_and_odd_values_are_masked_fields_of_one_line() -> None:
    with written_lines() as lines:
        try:
            raise ValueError(f"token={SECRET}")
        except ValueError as error:
            _log.exception(
                "failed", extra={"cause": error, "path": Path("/x"), "nested": {"a": [b"\xff", SECRET]}}
            )
        _log.info("Bearer %s", SECRET, stack_info=True, extra={"authorization": SECRET})
    first, second = lines.parsed()
    assert first["exception"].startswith("Traceback")
    assert first["exception"].endswith("ValueError: token=[masked]")
    assert (first["cause"], first["path"]) == ("token=[masked]", "/x")
    assert (second["event"], second["authorization"]) == ("Bearer [masked]", "[masked]")
    assert "stack" in second
    assert lines.text().count(SECRET) == 1


def test_text_is_for_people() -> None:
    bind_contextvars(request_id="r1")
    with written_lines(shape="text") as lines:
        _log.info(
            "two\nlines", extra={"image": "i1", "name_of": 'a "b"', "token": SECRET, "size": None, "of": []}
        )
        try:
            raise ValueError(f"igs_{SECRET}")
        except ValueError:
            _log.exception("failed")
    first, second, *traceback = lines.text().splitlines()
    assert first.endswith(
        " image_gateway.test: two\\nlines image=i1 "
        'name_of="a \\"b\\"" token=[masked] size=null of=[] request_id=r1'
    )
    assert " INFO " in first
    assert second.endswith(" image_gateway.test: failed request_id=r1")
    assert traceback[-1] == "ValueError: igs_[masked]"


@pytest.mark.usefixtures("logging_restored")
def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(logging_config("error", "json"))
    for name in (
        "image_gateway.audit",
        "image_gateway.request",
        "gunicorn.error",
        "botocore",
        "gunicorn.access",
    ):
        logging.getLogger(name).info("of %s", name)
    logging.getLogger("gunicorn.error").error("GET /?token=%s", SECRET)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["of image_gateway.audit", "GET /?token=[masked]"]


@pytest.mark.usefixtures("logging_restored")
def test_what_gunicorn_configured_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    configure_logging("info", "json")
    (handler,) = logging.root.handlers
    configure_logging("debug", "text")
    assert logging.root.handlers == [handler]


ATOMS = (
    "%(h)s %(s)s %(r)s %(f)s %({authorization}i)s %({set-cookie}o)s %({cookie}i)s %({location}o)s "
    "%(U)s %(q)s %({raw_uri}e)s %({http_authorization}e)s %({x-nothing}i)s %(B)d "
    "%({http_cookie}e)s %(a)s %({server}o)s"
)


def access_line(logger: AccessLogger) -> str:
    """Log one request with secrets everywhere; returns what was written."""
    stream = io.StringIO()
    (handler,) = logger.access_log.handlers
    handler.setStream(stream)
    target = f"/v1/l/igl~k1~{SECRET}~{SECRET}/disk.img"
    environ = {
        "REMOTE_ADDR": "192.0.2.1",
        "REQUEST_METHOD": "GET",
        "RAW_URI": f"{target}?access_token={SECRET}",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "PATH_INFO": target,
        "QUERY_STRING": f"access_token={SECRET}",
        "HTTP_REFERER": f"https://app.example{target}",
        "HTTP_AUTHORIZATION": f"Bearer {SECRET}",
        "HTTP_COOKIE": f"a={SECRET}",
        "HTTP_USER_AGENT": "curl",
    }
    answered = [
        ("Set-Cookie", f"x={SECRET}"),
        ("Location", f"https://s3/?X-Amz-Signature={SECRET}"),
        ("Server", "g"),
    ]
    response = SimpleNamespace(status="200 OK", sent=12, headers=answered)
    request = SimpleNamespace(headers=[("AUTHORIZATION", f"Basic {SECRET}"), ("COOKIE", f"a={SECRET}")])
    logger.access(response, request, environ, timedelta(seconds=1))
    return stream.getvalue()


def gunicorn_settings(**changes: object) -> Config:
    config = Config()
    config.set("logconfig_dict", logging_config("info", "json"))
    config.set("access_log_format", ATOMS)
    for name, value in changes.items():
        config.set(name, value)
    return config


@pytest.mark.usefixtures("logging_restored")
def test_the_access_log_holds_no_secret() -> None:
    line = access_line(AccessLogger(gunicorn_settings(accesslog="-")))
    assert SECRET not in line
    assert line.startswith(
        "192.0.2.1 200 GET /v1/l/igl~[masked]/disk.img?access_token=[masked] HTTP/1.1 https://app"
    )
    assert line.endswith(" [masked] - 12 [masked] curl g\n")


@pytest.mark.usefixtures("logging_restored")
def test_the_access_log_survives_the_workers_start_and_a_reload() -> None:
    config = gunicorn_settings(accesslog="-")
    logger = AccessLogger(config)
    configure_logging("info", "json")
    logger.setup(config)
    assert access_line(logger).count("\n") == 1


@pytest.mark.usefixtures("logging_restored")
def test_without_a_file_nothing_is_collected_for_it() -> None:
    logger = AccessLogger(gunicorn_settings())
    assert not logger.access_log_enabled
    assert logger.access_log.handlers == []


def test_an_unknown_level_of_nesting_is_text() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", ({1: SECRET},), None)
    assert json.loads(make_formatter("json").format(record))["event"] == f"{{1: '{SECRET}'}}"


def test_what_clients_send_does_nothing_to_the_terminal_that_shows_text_lines() -> None:
    evil = "\x1b]0;pwned\x07\x9b31m\x7f\u202e\u2066\u200f\u061c\u2028\r\n"
    bind_contextvars(user=f"bob{evil}")
    with written_lines(shape="text") as lines:
        _log.info("read %s", evil, extra={"path": f"/v1/images/{evil}", "names": [evil], "of": {evil: evil}})
        _log.info("done", extra={"request": {"path": evil, "user": evil}})
        try:
            raise ValueError(evil)
        except ValueError:
            _log.exception("failed")
    text = lines.text()
    assert text.replace("\n", "").isprintable()
    first, second, third, *traceback = text.splitlines()
    escaped = r"\x1b]0;pwned\x07\x9b31m\x7f\u202e\u2066\u200f\u061c\u2028\r\n"
    assert f": read {escaped} path=" in first
    assert ": failed user=" in third
    assert "\\u202e" in third
    assert second.count("pwned") == 2
    assert any(line.startswith("ValueError: ") and "pwned" in line for line in traceback)
