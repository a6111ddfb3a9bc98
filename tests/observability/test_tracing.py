"""Spans: of requests, of bodies until their end, of store calls; no secret in any, and nothing when off."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from werkzeug.test import EnvironBuilder

from image_gateway.app import create_app
from image_gateway.observability.tracing import MaskingExporter, Tracing
from image_gateway.serving import tracing
from image_gateway.settings import SettingsError
from image_gateway.storage.objects import ObjectStore
from image_gateway.storage.presigned_reader import SdkReader
from tests.routes.test_marked_secrets import AUTHORIZATIONS, BODY, LEASE, LINK, MARK, QUERY, targets
from tests.support.world import OWNER, Image, World


class Traced:
    """A world whose spans are kept."""

    def __init__(self, world: World) -> None:
        self._exporter = InMemorySpanExporter()
        tracing = Tracing(SimpleSpanProcessor(MaskingExporter(self._exporter)))
        tracing.trace_sdk()
        store = ObjectStore(world.clients, tracing.trace_reads(SdkReader(world.clients)))
        self.app = create_app(world.settings, store=store, catalog=world.catalog)
        tracing.trace_requests(self.app)

    def spans(self) -> list[ReadableSpan]:
        """Those that have ended since the last time."""
        spans = list(self._exporter.get_finished_spans())
        self._exporter.clear()
        return spans

    def call(self, path: str, method: str = "GET", **extra: Any) -> Any:
        """The body that a server would get."""
        environ = {**EnvironBuilder(path, method=method).get_environ(), "HTTP_X_USER_ID": OWNER, **extra}
        return self.app.wsgi_app(environ, lambda *_: lambda _: None)


@pytest.fixture
def image(world: World) -> Image:
    return world.make_image(bytes(300_000))


@pytest.fixture
def traced(world: World, image: Image) -> Iterator[Traced]:
    yield Traced(world)
    BotocoreInstrumentor().uninstrument()


def by_name(spans: list[ReadableSpan]) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans}


def test_a_body_s_span_lasts_until_its_end(traced: Traced, image: Image) -> None:
    body = iter(traced.call(image.path("range")))
    next(body)
    early = by_name(traced.spans())
    assert "body" not in early
    request = early["GET /v1/images/<image_id>/range"]
    assert early["S3.GetObject"].parent.span_id == request.context.span_id
    assert sum(map(len, body)) > 0
    (span,) = traced.spans()
    assert (span.name, span.status.status_code) == ("body", StatusCode.UNSET)
    assert span.attributes == {"image_gateway.bytes": 300_000}
    assert span.parent.span_id == request.context.span_id
    assert span.end_time > request.end_time


def test_a_body_that_is_left_is_a_failure_once(traced: Traced, image: Image) -> None:
    body = traced.call(image.path("range"))
    next(iter(body))
    body.close()
    body.close()
    span = by_name(traced.spans())["body"]
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "closed")
    assert traced.spans() == []


def test_what_goes_on_in_a_body_belongs_to_it(traced: Traced, image: Image) -> None:
    from opentelemetry.trace import get_current_span

    before = get_current_span()
    body = traced.call(image.path("range"))
    seen = []
    blocks = body._blocks

    class Watching:
        def __next__(self) -> bytes:
            seen.append(get_current_span())
            return next(blocks)

    body._blocks = Watching()
    b"".join(body)
    assert {span.name for span in seen} == {"body"}
    assert get_current_span() is before


def test_a_file_stays_one_that_the_server_sends_by_itself(traced: Traced, tmp_path: Any) -> None:
    from image_gateway.routes.http.responses import BytesResponse

    (tmp_path / "f").write_bytes(b"x")
    with (tmp_path / "f").open("rb") as file:
        traced.app.add_url_rule(
            "/file",
            view_func=lambda: BytesResponse(
                FileWrapper(file), 200, {"Accept-Ranges": "bytes"}, direct_passthrough=True
            ),
        )
        body = traced.call("/file", **{"wsgi.file_wrapper": FileWrapper})
        assert isinstance(body, FileWrapper)
        assert "body" not in by_name(traced.spans())
        body.close()
    assert [span.name for span in traced.spans()] == ["body"]


def test_probes_are_not_traced_and_json_has_no_body(
    traced: Traced, image: Image, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("/health", "/healthz", "/readyz", "/metrics"):
        traced.call(path).close()
    # readyz asks the store.
    assert {span.name for span in traced.spans()} <= {"S3.HeadBucket", "S3.ListObjectsV2"}
    for path, method in (("/v1/images", "GET"), ("/v1/images", "OPTIONS"), ("/nothing", "GET")):
        traced.call(path, method).close()
    assert [span.name for span in traced.spans()] == ["GET /v1/images", "OPTIONS /v1/images", "GET /nothing"]
    assert "span missing" not in caplog.text


@pytest.mark.parametrize("opt_in", ["", "http", "http/dup"])
@pytest.mark.parametrize("authorization", AUTHORIZATIONS, ids=["jwt", "lease", "basic", "cookie"])
def test_no_span_repeats_a_secret(
    world: World, image: Image, opt_in: str, authorization: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry.instrumentation import _semconv

    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", opt_in)
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", ".*")
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE", ".*")
    monkeypatch.setattr(_semconv._OpenTelemetrySemanticConventionStability, "_initialized", False)
    traced = Traced(world)
    try:
        _visit_everything(traced, world, image, authorization)
    finally:
        BotocoreInstrumentor().uninstrument()
        _semconv._OpenTelemetrySemanticConventionStability._initialized = False
    spans = traced.spans()
    assert len(spans) > 60
    written = "".join(span.to_json() for span in spans)
    assert MARK not in written
    assert ("url.path" if opt_in == "http" else "http.target") in written
    assert "http.request.header.user_agent" in written


def _visit_everything(traced: Traced, world: World, image: Image, authorization: str | None) -> None:
    headers = {
        "Cookie": f"ImageLease={LEASE}; CloudFront-Policy={MARK}; session={MARK}",
        "Referer": f"https://app.example/?token={LINK}",
        "User-Agent": f"reader {LEASE}",
        **({"Authorization": authorization} if authorization else {}),
    }
    for method, path in [*targets(world, image), ("GET", f"/nothing/{LEASE}"), ("GET", f"/{LINK}")]:
        body = {"json": BODY} if method in ("POST", "PATCH") else {}
        builder = EnvironBuilder(f"{path}?{QUERY}", method=method, headers=headers, **body)
        environ = {**builder.get_environ(), "RAW_URI": f"{path}?{QUERY}"}
        answer = traced.app.wsgi_app(environ, lambda *_: lambda _: None)
        b"".join(answer)
        answer.close()


def test_an_exception_s_text_is_masked(traced: Traced) -> None:
    def fail() -> None:
        raise RuntimeError(f"no {LEASE}")

    traced.app.add_url_rule("/fail", view_func=fail)
    traced.call("/fail").close()
    (span,) = traced.spans()
    assert span.name == "GET /fail"
    assert MARK not in span.to_json()


def test_missing_packages_are_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    settings = replace(world.settings, tracing=True)
    tracing.check_tracing(settings)

    def find(name: str) -> ModuleSpec | None:
        if name.startswith("opentelemetry.exporter"):
            raise ModuleNotFoundError(name)
        return ModuleSpec(name, None)

    monkeypatch.setattr(tracing, "find_spec", find)
    with pytest.raises(SettingsError, match=r"TRACING=true needs image-gateway\[tracing\]"):
        tracing.check_tracing(settings)
    tracing.check_tracing(world.settings)


def test_nothing_is_imported_when_it_is_off() -> None:
    script = (
        "import sys, image_gateway.serving.wsgi, image_gateway.serving.gunicorn_config\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    environment = {"S3_BUCKET": "images", "AWS_REGION": "us-east-1"}
    shown = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (shown.stdout, shown.stderr) == ("[]\n", "")
