"""Checks and normalises URLs to fetch, without looking up names."""

from __future__ import annotations

import ipaddress
import re
import string
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urljoin

from image_gateway.errors import BadRequest
from image_gateway.fetching.public_addresses import is_public
from image_gateway.protocol.printable import escape_unprintable

MAX_URL_LENGTH = 4096
MAX_NAME_LENGTH = 255
_SHOWN_LENGTH = 200
_PORTS = {"http": 80, "https": 443}
# Of the ports below it only those of HTTP: others belong to services that would read a request as commands.
_FIRST_FREE_PORT = 1024
# RFC 3986 appendix B, with the parts that a URL to fetch must have.
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?"
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# A name whose last label is a number is an IPv4 address (https://url.spec.whatwg.org/#ends-in-a-number-checker).
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True)
class FetchRules:
    """What may be fetched, and how long it may take.

    Args:
        allow_http: Also fetch `http` URLs.
        allow_private: Also connect to addresses that are not public.
        allowed_hosts: Host names and addresses, `*.example.org` for all names below one; empty for any host.
        connect_seconds: Limit of a name look-up, and of connecting to one address.
        stall_seconds: Limit of the wait for a response's headers, and for the next bytes of its body.
        max_redirects: Redirects followed for one request.
    """

    allow_http: bool
    allow_private: bool
    allowed_hosts: tuple[str, ...]
    connect_seconds: float
    stall_seconds: float
    max_redirects: int = 5


@dataclass(frozen=True)
class SourceUrl:
    """A checked URL; `host` is a lower-case name or an address without brackets."""

    scheme: str
    host: str
    port: int
    path: str
    query: str = field(repr=False)

    @property
    def authority(self) -> str:
        """The `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """The request target: path and query."""
        return self.path + self.query

    @property
    def file_name(self) -> str:
        """The last segment of the path, decoded, or the host."""
        name = re.split(r"[/\\]", unquote(self.path))[-1]
        # The end is kept, for the suffix.
        name = escape_unprintable(name)[-MAX_NAME_LENGTH:]
        return self.host if name in ("", ".", "..") else name

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def check_url(url: str, rules: FetchRules) -> str:
    """Return the normalised URL: lower-case host, no default port, no fragment.

    Raises:
        BadRequest: The URL is malformed or the rules forbid it. The message does not repeat the query.
    """
    return str(parse_url(url, rules))


def parse_url(url: str, rules: FetchRules) -> SourceUrl:
    """As `check_url`, in parts."""
    if len(url) > MAX_URL_LENGTH:
        raise BadRequest(f"the URL is longer than {MAX_URL_LENGTH} characters")
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise BadRequest(
            "the URL has a space, a control character, a backslash or a character outside ASCII: "
            "percent-encode it, and write international host names in Punycode"
        )
    match = _URL.match(url)
    if match is None:
        raise BadRequest("the URL must be absolute, such as https://example.org/disk.img")
    scheme = match["scheme"].lower()
    _check_scheme(scheme, rules)
    if "@" in match["authority"]:
        raise BadRequest("the URL has credentials: they are not allowed in URLs")
    authority = _AUTHORITY.fullmatch(match["authority"])
    if authority is None:
        raise BadRequest("the URL's host or port is malformed")
    host = _parse_host(authority["host"].lower())
    _check_host(host, rules)
    port = _parse_port(authority["port"], scheme)
    return SourceUrl(scheme, host, port, match["path"] or "/", match["query"] or "")


def parse_redirect(base: SourceUrl, location: str, rules: FetchRules) -> SourceUrl:
    """Return the URL that a `Location` header names, judged as any other.

    Raises:
        BadRequest: The rules forbid it.
    """
    try:
        # Servers send raw UTF-8 and spaces here; the escapes are harmless in a path and refused in a host.
        encoded = quote(location.encode("latin-1"), safe=string.punctuation)
        return parse_url(urljoin(str(base), encoded), rules)
    except BadRequest as error:
        raise BadRequest(f"{base.host} redirects to a URL that is refused: {error.message}") from None
    except ValueError:
        raise BadRequest(f"{base.host} redirects to a URL that is malformed") from None


def display_url(url: str) -> str:
    """Return a URL for logs and messages, without credentials, query and fragment. Accepts any text."""
    match = _URL.match(url)
    authority = match["authority"].rpartition("@")[2] if match else ""
    # Of other text nobody can say where its secrets are.
    if match is None or not _AUTHORITY.fullmatch(authority):
        return "a malformed URL"
    return escape_unprintable(f"{match['scheme']}://{authority}{match['path']}"[:_SHOWN_LENGTH])


def _check_scheme(scheme: str, rules: FetchRules) -> None:
    if scheme not in _PORTS:
        raise BadRequest("the URL's scheme must be https" + (" or http" if rules.allow_http else ""))
    if scheme == "http" and not rules.allow_http:
        raise BadRequest("http URLs are not allowed: use https")


def _parse_port(port: str | None, scheme: str) -> int:
    number = int(port) if port else _PORTS[scheme]
    if number > 65535 or (number < _FIRST_FREE_PORT and number not in _PORTS.values()):
        raise BadRequest("the URL's port must be 80, 443, or from 1024 to 65535")
    return number


def _parse_host(host: str) -> str:
    if host.startswith("["):
        try:
            address = ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            address = None
        # RFC 9844: a zone has a meaning on one machine only.
        if address is None or address.scope_id is not None:
            raise BadRequest("the URL's IPv6 address is malformed or has a zone")
        return address.compressed
    name = host.removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _parse_ipv4(name)
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadRequest("the URL's host is missing or not a valid name")
    return name


def _parse_ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise BadRequest(
            "the URL's IPv4 address must be four decimal numbers without leading zeros"
        ) from None


def _check_host(host: str, rules: FetchRules) -> None:
    if rules.allowed_hosts and not any(_matches(host, pattern) for pattern in rules.allowed_hosts):
        raise BadRequest(f"the host {host} is not one of the allowed hosts")
    if rules.allow_private:
        return
    is_address = ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2])
    # RFC 6761 §6.3: names below localhost are loopback, whatever a name server says.
    if (is_address and not is_public(host)) or host == "localhost" or host.endswith(".localhost"):
        raise BadRequest(f"the host {host} is not a public address")


def _matches(host: str, pattern: str) -> bool:
    pattern = pattern.strip().lower().removesuffix(".")
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and not _NUMBER.fullmatch(host.rpartition(".")[2])
    if ":" in pattern:
        try:
            return ipaddress.ip_address(pattern.strip("[]")).compressed == host
        except ValueError:
            return False
    return host == pattern
