"""No secret leaves in a span: masked when it is sent, which is off the request's way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

from image_gateway.protocol.masking import MASKED, mask, mask_value, names_a_secret

# Old names and new ones of what holds a URL, or its path.
_TARGETS = ("http.target", "url.path")
_URLS = ("http.url", "url.full")
_QUERY = "url.query"


class MaskingExporter(SpanExporter):
    """Hands spans on with their secrets masked, and without queries."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([mask_span(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def mask_span(span: ReadableSpan) -> ReadableSpan:
    """The same span with nothing secret in name, attributes, events and status."""
    return ReadableSpan(
        name=mask(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=mask_attributes(span.attributes or {}),
        events=[Event(mask(e.name), mask_attributes(e.attributes or {}), e.timestamp) for e in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, mask(span.status.description or "") or None),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def mask_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes without queries, a known route in place of its path, the rest masked."""
    kept = {name: value for name, value in attributes.items() if name != _QUERY}
    for name in (*_TARGETS, *_URLS):
        if name in kept:
            kept[name] = str(kept[name]).partition("?")[0]
    if "http.route" in kept:
        kept.update({name: kept["http.route"] for name in _TARGETS if name in kept})
        for name in _URLS:
            kept.pop(name, None)
    return {name: _mask_attribute(name, value) for name, value in kept.items()}


def _mask_attribute(name: str, value: Any) -> Any:
    """Headers that somebody asked for come as lists."""
    if names_a_secret(name) and not isinstance(value, (bool, int, float)):
        return MASKED
    return mask_value(value)
