"""Where log lines go, and what they look like."""

from __future__ import annotations

import json
import logging
import logging.config
from datetime import UTC, datetime
from typing import Any

from structlog.contextvars import merge_contextvars
from structlog.processors import StackInfoRenderer, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict

from image_gateway.observability.masking import mask, mask_fields
from image_gateway.protocol.printable import escape_unprintable

# The facts of a request that are a client's own words; its path is masked where it stands for the route.
_GIVEN_BY_CLIENTS = ("request_id", "user")
# What another formatter leaves on a record that it was given first.
_LEFT_BEHIND = ("message", "asctime")
# One for all lines: json.dumps with options, as structlog calls it, makes another each time.
_ENCODER = json.JSONEncoder()


def logging_config(level: str, shape: str) -> dict[str, Any]:
    """A logging.config dictionary: one line each on stderr, libraries from warning up."""
    handler = {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}
    ours = {"level": level.upper()}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": make_formatter, "shape": shape}},
        "handlers": {"stderr": handler},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "image_gateway": ours,
            # What is kept as evidence is written at every level.
            "image_gateway.audit": {"level": "DEBUG" if level == "debug" else "INFO"},
            "gunicorn.error": {**ours, "handlers": [], "propagate": True},
        },
    }


def configure_logging(level: str, shape: str) -> None:
    """Set logging up, unless gunicorn has done so by our configuration: its access log would end."""
    if not any(isinstance(handler.formatter, ProcessorFormatter) for handler in logging.root.handlers):
        logging.config.dictConfig(logging_config(level, shape))


class _JsonLines(ProcessorFormatter):
    """Writes a request's line in one step: the chain of processors would cost a tenth of a small read."""

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] | None = record.__dict__.get("request")
        if facts is None:
            return super().format(record)
        given = {name: mask(facts[name]) for name in _GIVEN_BY_CLIENTS if name in facts}
        return _ENCODER.encode({**_always(record, record.msg), **facts, **given})


def make_formatter(shape: str) -> ProcessorFormatter:
    """Records of any logger as `json` or as `text`, with their extras and context, secrets masked."""
    kind = _JsonLines if shape == "json" else ProcessorFormatter
    return kind(
        processors=[
            _describe,
            ExtraAdder(),
            merge_contextvars,
            StackInfoRenderer(),
            format_exc_info,
            _in_order,
            _without_secrets,
            _as_json if shape == "json" else _as_text,
        ]
    )


def _describe(_: Any, __: str, fields: EventDict) -> EventDict:
    fields["_always"] = _always(fields["_record"], fields["event"])
    return fields


def _always(record: logging.LogRecord, event: str) -> dict[str, Any]:
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return {
        "time": moment.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "pid": record.process,
        "event": event,
    }


def _in_order(_: Any, __: str, fields: EventDict) -> EventDict:
    """What every line has, first; no extra takes its place."""
    always = fields["_always"]
    fields.update(fields.pop("request", {}))
    extras = {
        name: value
        for name, value in fields.items()
        if name not in always and name not in _LEFT_BEHIND and not name.startswith("_")
    }
    return {**always, **extras}


def _without_secrets(_: Any, __: str, fields: EventDict) -> EventDict:
    return mask_fields(fields)


def _as_json(_: Any, __: str, fields: EventDict) -> str:
    return _ENCODER.encode(fields)


def _as_text(_: Any, __: str, fields: EventDict) -> str:
    """One line for people, and tracebacks as they are used to them."""
    blocks = [
        escape_unprintable(str(fields.pop(name)), keep="\n\t")
        for name in ("exception", "stack")
        if name in fields
    ]
    time, level, logger, pid, event = (
        fields.pop(name) for name in ("time", "level", "logger", "pid", "event")
    )
    line = f"{time} {level.upper()} {pid} {logger}: {escape_unprintable(event)}"
    extras = [f" {name}={_word(value)}" for name, value in fields.items()]
    return "\n".join(["".join([line, *extras]), *blocks])


def _word(value: Any) -> str:
    if isinstance(value, str) and value and value.isprintable() and not set(value) & set(' "='):
        return value
    # JSON leaves DEL, C1 and the characters of bidirectional text as they are.
    return escape_unprintable(json.dumps(value, ensure_ascii=False))
