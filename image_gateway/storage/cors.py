"""Probes of a bucket's CORS: what a browser would be told."""

from __future__ import annotations

from collections.abc import Sequence

from image_gateway.storage.probe import Answer, StoreProbe

# What the bucket lets pages read. Retry-After says how long uploads are to leave a busy store alone.
EXPOSED = ("ETag", "Content-Range", "Content-Length", "Accept-Ranges", "Last-Modified", "Retry-After")
ANY_PAGE = "https://probe.example"


def page_origins(origins: Sequence[str]) -> tuple[str, ...]:
    """Return the origins to probe: those of CORS_ALLOW_ORIGIN, or some page for `*`."""
    return (ANY_PAGE,) if tuple(origins) == ("*",) else tuple(origins)


def preflight_problem(probe: StoreProbe, url: str, origin: str, method: str = "PUT") -> str | None:
    """Send the preflight of a page that uses a URL; return what is wrong with the answer, or None.

    A browser sends the request only if the status is that of success and the origin and the method are
    allowed (Fetch standard, CORS-preflight fetch).
    """
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    answer = probe.send("OPTIONS", url, headers=headers)
    allowed = answer.headers.get("access-control-allow-origin")
    if not 200 <= answer.status < 300 or allowed not in ("*", origin):
        return f"status {answer.status}, Access-Control-Allow-Origin {allowed!r} for {origin}"
    methods = _listed(answer.headers.get("access-control-allow-methods", ""))
    if "*" not in methods and method.lower() not in methods:
        return f"status {answer.status}, but {method} is not in Access-Control-Allow-Methods for {origin}"
    return None


def hidden_headers(answer: Answer, names: Sequence[str]) -> list[str]:
    """Return which of these response headers the store does not let pages read."""
    exposed = _listed(answer.headers.get("access-control-expose-headers", ""))
    return [] if "*" in exposed else [name for name in names if name.lower() not in exposed]


def _listed(value: str) -> set[str]:
    return {name.strip().lower() for name in value.split(",")}
