"""Serves the console: pages for people, from files of the package, under a strict Content-Security-Policy.

The pages need no data of the server to be shown: they ask the API with the browser's session.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, request

from image_gateway.errors import NotFound

FILES = Path(__file__).parent.parent / "console"
# What v86 needs, by the name in the directory of EMULATOR_V86_PATH.
V86_FILES = {
    "libv86.js": "text/javascript",
    "v86.wasm": "application/wasm",
    "v86-fallback.wasm": "application/wasm",
    "seabios.bin": "application/octet-stream",
    "bios.bin": "application/octet-stream",
    "vgabios.bin": "application/octet-stream",
}
V86_NEEDED = ("libv86.js", "v86.wasm")
V86_BIOSES = ("seabios.bin", "bios.bin")
_CONTENT_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
# Pages of the one document; `open` has its own, which ends with the emulator.
_PAGES = (
    "/",
    "/sign-in",
    "/upload",
    "/link",
    "/images/<image_id>",
    "/images/<image_id>/share",
    "/images/<image_id>/activity",
)


@dataclass(frozen=True)
class ConsoleRules:
    """What the pages must know before anybody has signed in, and where they may connect to.

    Args:
        sign_in: How a browser signs in: dev, oidc, none (no need to), or unavailable.
        origins: Returns the origins of the store and the CDN, which uploads and reads connect to.
        v86: Directory with v86's files, or None.
    """

    sign_in: str
    origins: Callable[[], Sequence[str]]
    v86: Path | None


def make_console_blueprint(rules: ConsoleRules) -> Blueprint:
    """Routes of the console's pages, its files, and v86's files."""
    blueprint = Blueprint("console", __name__)
    files = _served_files()
    index, opened = _fill("index.html", rules), _fill("open.html", rules)

    def page(**_: str) -> Response:
        return _page(index, rules.origins())

    for path in _PAGES:
        blueprint.add_url_rule(path, "page", page, methods=["GET"])

    @blueprint.get("/open/<image_id>")
    @blueprint.get("/open")
    def open_page(image_id: str = "") -> Response:
        return _page(opened, rules.origins())

    @blueprint.get("/console/<path:name>")
    def console_file(name: str) -> Response:
        found = files.get(name)
        if found is None:
            raise NotFound("the console has no such file")
        return found.response()

    @blueprint.get("/emulators/v86/<name>")
    def emulator_file(name: str) -> Response:
        content_type = V86_FILES.get(name)
        path = rules.v86 / name if rules.v86 is not None else None
        if content_type is None or path is None or not path.is_file():
            raise NotFound(
                f"there is no {name} for v86: put it into the directory that EMULATOR_V86_PATH names"
                if content_type
                else "v86 needs no such file"
            )
        response = Response(path.read_bytes(), content_type=content_type)
        response.headers["Cache-Control"] = "no-cache"
        return _isolated(response)

    return blueprint


class _File:
    """A file of the console with its ETag."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self._etag = hashlib.sha256(self._data).hexdigest()[:32]
        self._content_type = _CONTENT_TYPES[path.suffix]

    def response(self) -> Response:
        response = Response(self._data, content_type=self._content_type)
        response.set_etag(self._etag)
        # A worker has the policy of its own script, not of its page.
        response.headers["Content-Security-Policy"] = "default-src 'none'; script-src 'self'"
        response.headers["Cache-Control"] = "no-cache"
        _isolated(response).make_conditional(request)
        return response


@cache
def _served_files() -> Mapping[str, _File]:
    """Return the files by their paths in the console; read once in a process."""
    served = (path for path in FILES.rglob("*") if path.suffix in _CONTENT_TYPES)
    return {str(path.relative_to(FILES)): _File(path) for path in served}


def _fill(name: str, rules: ConsoleRules) -> str:
    """Return a page with the facts that it must know in its `meta` elements."""
    v86 = [file for file in V86_FILES if rules.v86 is not None and (rules.v86 / file).is_file()]
    has_v86 = all(file in v86 for file in V86_NEEDED) and any(file in v86 for file in V86_BIOSES)
    facts: Mapping[str, str] = {
        "{{sign-in}}": rules.sign_in,
        "{{v86}}": "installed" if has_v86 else "missing",
        "{{v86-files}}": " ".join(v86),
    }
    text = (FILES / name).read_text("utf-8")
    for mark, value in facts.items():
        text = text.replace(mark, html.escape(value))
    return text


def _page(text: str, origins: Sequence[str]) -> Response:
    response = Response(text, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _content_security_policy(origins)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=()"
    return _isolated(response)


def _isolated(response: Response) -> Response:
    """Add the headers by which emulators get SharedArrayBuffer, and files are what they say."""
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Cross-Origin-Embedder-Policy"] = "require-corp"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _content_security_policy(origins: Sequence[str]) -> str:
    """Return the policy: scripts and styles of our own only, no inline ones, no frames around us.

    https://www.w3.org/TR/CSP3/
    """
    return "; ".join(
        [
            "default-src 'none'",
            # v86 compiles machine code to WebAssembly.
            "script-src 'self' 'wasm-unsafe-eval'",
            "style-src 'self'",
            "img-src 'self' data: blob:",
            "connect-src " + " ".join(["'self'", *origins]),
            "worker-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    )
