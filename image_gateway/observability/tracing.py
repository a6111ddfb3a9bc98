"""OpenTelemetry spans of requests, response bodies and store calls, exported with secrets masked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import SplitResult
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context, use_span

from image_gateway.observability.masking import MASKED, mask, mask_value, names_a_secret

# Probes and scrapes are frequent and not useful in traces.
EXCLUDED = "/healthz?$,/readyz$,/metrics$"
_SPAN = "image_gateway.span"


def export_otlp() -> BatchSpanProcessor:
    """Return a processor that exports spans by OTLP over HTTP in a background thread."""
    return BatchSpanProcessor(MaskingExporter(OTLPSpanExporter()))


class StoreReader(Protocol):
    """A reader of objects (see `storage.presigned_reader`)."""

    def get(self, key: str, arguments: Mapping[str, Any], *, once: bool = False) -> Mapping[str, Any]: ...

    def sign(self, key: str) -> SplitResult: ...


class Tracing:
    """Creates spans that are processed by `processor`."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._provider = TracerProvider(resource=_describe_service())
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("image_gateway")

    def trace_sdk(self) -> None:
        """Trace every botocore call of this process."""
        BotocoreInstrumentor().instrument(tracer_provider=self._provider)  # type: ignore[no-untyped-call]

    def trace_reads(self, reads: StoreReader) -> StoreReader:
        """Return a reader that traces every read; reads do not go through botocore."""
        return TracedReader(reads, self._tracer)

    def trace_requests(self, app: Flask) -> None:
        """Trace every request of the app, and every streamed body in a span of its own."""
        FlaskInstrumentor.instrument_app(  # type: ignore[no-untyped-call]
            app,
            request_hook=_store_span,
            tracer_provider=self._provider,
            excluded_urls=EXCLUDED,
            enable_commenter=False,
        )
        # Run this hook first: an earlier hook that answers the request would leave it without a span.
        hooks = app.before_request_funcs[None]
        hooks.insert(0, hooks.pop())
        app.wsgi_app = BodySpans(app.wsgi_app, self._tracer)  # type: ignore[method-assign]


class TracedReader:
    """Wraps a reader in spans that end when the response headers have arrived."""

    def __init__(self, reads: StoreReader, tracer: Tracer) -> None:
        self._reads = reads
        self._tracer = tracer

    def sign(self, key: str) -> SplitResult:
        return self._reads.sign(key)

    def get(self, key: str, arguments: Mapping[str, Any], *, once: bool = False) -> Mapping[str, Any]:
        attributes = {"aws.s3.key": key, "image_gateway.range": str(arguments.get("Range", ""))}
        with self._tracer.start_as_current_span(
            "S3.GetObject", kind=SpanKind.CLIENT, attributes=attributes, record_exception=False
        ):
            return self._reads.get(key, arguments, once=once)


class BodySpans:
    """WSGI middleware that traces bodies: the instrumentation ends a request's span before its body."""

    def __init__(self, app: WSGIApplication, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        streams = False

        def record_headers(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
            nonlocal streams
            streams = any(name.lower() == "accept-ranges" for name, _ in headers)
            return start_response(status, headers, exc_info)

        body = self._app(environ, record_headers)
        request_span: Span | None = environ.get(_SPAN)
        if not streams or request_span is None:
            return body
        span = self._tracer.start_span("body", set_span_in_context(request_span))
        file_wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(file_wrapper, type) and isinstance(body, file_wrapper):
            _end_with_file(body, span)
            return body
        return _TracedBody(body, span)


class _TracedBody:
    """A body whose span ends with it, also on errors; spans created while it is read are its children."""

    def __init__(self, body: Iterable[bytes], span: Span) -> None:
        self._body = body
        self._blocks = iter(body)
        self._span = span
        self._sent = 0
        self._is_over = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            with use_span(self._span, record_exception=False, set_status_on_exception=False):
                block = next(self._blocks)
        except StopIteration:
            self._end(None)
            raise
        except BaseException as error:
            self._end(type(error).__name__)
            raise
        self._sent += len(block)
        return block

    def close(self) -> None:
        try:
            close: Callable[[], object] | None = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._end("closed")

    def _end(self, failure: str | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._span.set_attribute("image_gateway.bytes", self._sent)
        if failure is not None:
            self._span.set_status(Status(StatusCode.ERROR, failure))
        self._span.end()


def _end_with_file(body: Any, span: Span) -> None:
    close = getattr(body, "close", None)

    def close_and_end() -> None:
        try:
            if close is not None:
                close()
        finally:
            span.end()

    body.close = close_and_end


def _store_span(span: Span, environ: WSGIEnvironment) -> None:
    environ[_SPAN] = span


def _describe_service() -> Resource:
    has_name = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return Resource.create({} if has_name else {"service.name": "image-gateway"})


# Old and new semantic-convention names of attributes that hold a URL or its path.
_TARGETS = ("http.target", "url.path")
_URLS = ("http.url", "url.full")
_QUERY = "url.query"


class MaskingExporter(SpanExporter):
    """Exports spans with secrets masked and query strings removed."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([mask_span(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def mask_span(span: ReadableSpan) -> ReadableSpan:
    """Return a copy of the span with secrets masked in its name, attributes, events and status."""
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
    """Return masked attributes, without query strings and with the route in place of the path if known."""
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
    """Captured headers are lists, so mask them by name whatever their type."""
    if names_a_secret(name) and not isinstance(value, (bool, int, float)):
        return MASKED
    return mask_value(value)
