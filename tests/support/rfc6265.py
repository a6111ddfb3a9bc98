"""A cookie jar as RFC 6265 §5 has it, and no kinder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

_DATE = "%a, %d %b %Y %H:%M:%S GMT"
_ADDRESS = re.compile(r"[0-9.]+|.*:.*")


@dataclass
class Cookie:
    """A stored cookie (§5.3); `expires` in epoch seconds, None ends with the session."""

    name: str
    value: str
    domain: str
    host_only: bool
    path: str
    secure: bool
    http_only: bool
    expires: float | None
    created: int


class Jar:
    """Cookies of one browser, which also sends them to other sites, as with SameSite=None."""

    def __init__(self) -> None:
        self.cookies: dict[tuple[str, str, str], Cookie] = {}
        self._created = 0

    def receive(self, url: str, set_cookie: Iterable[str], now: float) -> None:
        """Store what an answer from this URL sets; what the RFC ignores is an error here."""
        for line in set_cookie:
            cookie = self._parse(url, line)
            key = (cookie.name, cookie.domain, cookie.path)
            if key in self.cookies:
                cookie.created = self.cookies[key].created
            self.cookies[key] = cookie
            if cookie.expires is not None and cookie.expires <= now:
                del self.cookies[key]

    def header(self, url: str, now: float) -> dict[str, str]:
        """The Cookie header of a request to this URL; nothing when there is none (§5.4)."""
        parts = urlsplit(url)
        host, path = parts.hostname or "", parts.path or "/"
        chosen = [
            cookie
            for cookie in self.cookies.values()
            if (cookie.domain == host if cookie.host_only else domain_matches(host, cookie.domain))
            and path_matches(path, cookie.path)
            and (parts.scheme == "https" or not cookie.secure)
            and (cookie.expires is None or now < cookie.expires)
        ]
        chosen.sort(key=lambda cookie: (-len(cookie.path), cookie.created))
        return {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in chosen)} if chosen else {}

    def _parse(self, url: str, line: str) -> Cookie:
        """§5.2 and §5.3."""
        parts = urlsplit(url)
        pair, *attributes = line.split(";")
        name, equals, value = (text.strip(" \t") for text in pair.partition("="))
        assert equals, "a cookie without a name"
        assert name, "a cookie without a name"
        given = {}
        for attribute in attributes:
            key, _, text = attribute.partition("=")
            given[key.strip(" \t").lower()] = text.strip(" \t")
        host = parts.hostname or ""
        domain = given.get("domain", "").removeprefix(".").lower()
        assert not domain or domain_matches(host, domain), f"{host} may not set a cookie for {domain}"
        secure = "secure" in given
        assert secure or given.get("samesite") != "None", "browsers refuse SameSite=None without Secure"
        assert secure or "partitioned" not in given, "browsers refuse Partitioned without Secure"
        assert not secure or parts.scheme == "https", "browsers refuse Secure over http"
        self._created += 1
        return Cookie(
            name=name,
            value=value,
            domain=domain or host,
            host_only=not domain,
            path=given["path"] if given.get("path", "").startswith("/") else default_path(parts.path),
            secure=secure,
            http_only="httponly" in given,
            expires=_epoch(given["expires"]) if "expires" in given else None,
            created=self._created,
        )


def default_path(path: str) -> str:
    """§5.1.4: up to, but not including, the right-most slash."""
    return path[: path.rindex("/")] or "/" if path.startswith("/") else "/"


def path_matches(request_path: str, cookie_path: str) -> bool:
    """§5.1.4."""
    if request_path == cookie_path:
        return True
    if not request_path.startswith(cookie_path):
        return False
    return cookie_path.endswith("/") or request_path[len(cookie_path)] == "/"


def domain_matches(host: str, domain: str) -> bool:
    """§5.1.3."""
    return host == domain or (host.endswith(f".{domain}") and not _ADDRESS.fullmatch(host))


def _epoch(text: str) -> float:
    return datetime.strptime(text, _DATE).replace(tzinfo=UTC).timestamp()
