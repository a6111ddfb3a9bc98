"""Configures logging and formats log lines as JSON or text."""

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

# Request fields that the client controls. A path is masked before, where it stands in for the route.
_CLIENT_FIELDS = ("request_id", "user")
# Attributes that another formatter may have set on the record.
_FORMATTER_ATTRIBUTES = ("message", "asctime")
# Shared: json.dumps with options, as structlog calls it, creates an encoder for each call.
_ENCODER = json.JSONEncoder()


def logging_config(level: str, shape: str) -> dict[str, Any]:
    """Return a logging.config dictionary: one line per record on stderr; other libraries from WARNING up."""
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
            # The audit log is written at every configured level.
            "image_gateway.audit": {"level": "DEBUG" if level == "debug" else "INFO"},
            "gunicorn.error": {**ours, "handlers": [], "propagate": True},
        },
    }


def configure_logging(level: str, shape: str) -> None:
    """Configure logging, unless gunicorn has already applied our configuration: its access log would stop."""
    if not any(isinstance(handler.formatter, ProcessorFormatter) for handler in logging.root.handlers):
        logging.config.dictConfig(logging_config(level, shape))


class _JsonLines(ProcessorFormatter):
    """Formats a request's line in one step; structlog's processor chain would add a tenth to a small read."""

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] | None = record.__dict__.get("request")
        if facts is None:
            return super().format(record)
        masked = {name: mask(facts[name]) for name in _CLIENT_FIELDS if name in facts}
        return _ENCODER.encode({**_standard_fields(record, record.msg), **facts, **masked})


def make_formatter(shape: str) -> ProcessorFormatter:
    """Return a formatter for records of any logger as `json` or `text`, with extras and context, masked."""
    kind = _JsonLines if shape == "json" else ProcessorFormatter
    return kind(
        processors=[
            _add_standard_fields,
            ExtraAdder(),
            merge_contextvars,
            StackInfoRenderer(),
            format_exc_info,
            _standard_fields_first,
            _mask_secrets,
            _as_json if shape == "json" else _as_text,
        ]
    )


def _add_standard_fields(_: Any, __: str, fields: EventDict) -> EventDict:
    fields["_standard_fields"] = _standard_fields(fields["_record"], fields["event"])
    return fields


def _standard_fields(record: logging.LogRecord, event: str) -> dict[str, Any]:
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return {
        "time": moment.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "pid": record.process,
        "event": event,
    }


def _standard_fields_first(_: Any, __: str, fields: EventDict) -> EventDict:
    """Put the standard fields first; extras cannot override them."""
    standard = fields["_standard_fields"]
    fields.update(fields.pop("request", {}))
    extras = {
        name: value
        for name, value in fields.items()
        if name not in standard and name not in _FORMATTER_ATTRIBUTES and not name.startswith("_")
    }
    return {**standard, **extras}


def _mask_secrets(_: Any, __: str, fields: EventDict) -> EventDict:
    return mask_fields(fields)


def _as_json(_: Any, __: str, fields: EventDict) -> str:
    return _ENCODER.encode(fields)


def _as_text(_: Any, __: str, fields: EventDict) -> str:
    """Format one readable line, followed by the traceback if there is one."""
    blocks = [
        escape_unprintable(str(fields.pop(name)), keep="\n\t")
        for name in ("exception", "stack")
        if name in fields
    ]
    time, level, logger, pid, event = (
        fields.pop(name) for name in ("time", "level", "logger", "pid", "event")
    )
    line = f"{time} {level.upper()} {pid} {logger}: {escape_unprintable(event)}"
    extras = [f" {name}={_format_value(value)}" for name, value in fields.items()]
    return "\n".join(["".join([line, *extras]), *blocks])


def _format_value(value: Any) -> str:
    if isinstance(value, str) and value and value.isprintable() and not set(value) & set(' "='):
        return value
    # JSON does not escape DEL, C1 and bidirectional control characters.
    return escape_unprintable(json.dumps(value, ensure_ascii=False))
