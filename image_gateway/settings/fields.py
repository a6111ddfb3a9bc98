"""marshmallow fields for settings; each error message states the accepted format."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields, validate

_LEASE_KEY = re.compile(r"([A-Za-z0-9_-]{1,32}):([!-+\--~]{32,256})", re.ASCII)
_RATE = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)", re.ASCII)
HOST_ADDRESS = re.compile(r"[A-Za-z0-9.:-]{1,255}")
_PORT_AT_END = re.compile(r":[0-9]{1,5}$", re.ASCII)
_NOT_IN_ORIGINS = re.compile(r"[\s*\\?#]")


class WholeNumber(fields.Integer):
    """A non-negative integer in decimal digits; rejects `80x`, `8_0` and `+80`."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not re.fullmatch(r"[0-9]{1,18}", str(value), re.ASCII):
            raise ValidationError("must be a whole number in decimal digits")
        return super()._deserialize(value, *args, **kwargs)


class Origins(fields.String):
    """`*` or a comma-separated list of http(s) origins; loads a tuple."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        origins = [origin.strip() for origin in str(value).split(",")]
        if origins != ["*"] and not all(is_origin(origin) for origin in origins):
            raise ValidationError(
                "must be * or http(s) origins like https://app.example.com, comma-separated"
            )
        return tuple(dict.fromkeys(_normalise_origin(origin) for origin in origins))


class Origin(fields.String):
    """One http(s) origin; loads the form that browsers send."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        origin = str(value).removesuffix("/")
        if not is_origin(origin):
            raise ValidationError(
                "must be one http(s) origin without a path, like https://images.example.com"
            )
        return _normalise_origin(origin)


class Hosts(fields.String):
    """A comma-separated list of `host[:port]`; loads a tuple in lower case."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        hosts = [host.strip().lower() for host in str(value).split(",")]
        if not all(is_origin(f"http://{host}") for host in hosts):
            raise ValidationError("must be host or host:port, comma-separated, like images.example.com")
        return tuple(dict.fromkeys(hosts))


class Address(fields.String):
    """One `host:port`."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_address(str(value)):
            raise ValidationError("must be host:port, like 127.0.0.1:8125")
        return str(value)


class Addresses(fields.String):
    """A comma-separated list of `host:port`; loads a tuple."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        addresses = tuple(text.strip() for text in str(value).split(","))
        if not all(map(_is_address, addresses)):
            raise ValidationError("must be host:port, comma-separated, like 127.0.0.1:3000")
        return addresses


class Networks(fields.String):
    """A comma-separated list of IP addresses and networks; loads a tuple of networks."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return tuple(str(ipaddress.ip_network(text.strip())) for text in str(value).split(","))
        except ValueError as error:
            raise ValidationError("must be IP networks, comma-separated, like 10.0.0.0/8") from error


def _is_address(text: str) -> bool:
    return is_origin(f"http://{text}") and _PORT_AT_END.search(text) is not None


def _normalise_origin(origin: str) -> str:
    """Return the origin in lower case and without the default port (RFC 6454 section 6.2)."""
    lower = origin.lower()
    default_port = {"https": ":443", "http": ":80"}.get(lower.partition("://")[0], "")
    return lower.removesuffix(default_port) if default_port else lower


def is_origin(text: str) -> bool:
    """Return whether the text is exactly `http(s)://host[:port]`."""
    if _NOT_IN_ORIGINS.search(text) or not text.isascii():
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    extras = parts.path or parts.query or parts.fragment or "@" in parts.netloc or port == 0
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not extras


class Words(fields.String):
    """A comma-separated list of strings; loads a tuple."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        words = tuple(word.strip() for word in str(value).split(","))
        if not all(words):
            raise ValidationError("must be a comma-separated list without empty items")
        return words


class LeaseKeys(fields.String):
    """A comma-separated list of `id:secret`; loads a tuple of pairs, the signing key first."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        pairs = [_LEASE_KEY.fullmatch(text.strip()) for text in str(value).split(",")]
        if not all(pairs):
            raise ValidationError(
                "must be id:secret pairs, comma-separated: ids of 1 to 32 letters, digits, - and _, "
                "secrets of 32 to 256 characters without commas or spaces, as from openssl rand -hex 32"
            )
        keys = tuple((pair[1], pair[2]) for pair in pairs if pair)
        if len({key_id for key_id, _ in keys}) < len(keys):
            raise ValidationError("must not use the same key id twice")
        return keys


class RateLimit(fields.String):
    """A rate limit in the notation of the `limits` package, such as `60/minute`."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not _RATE.fullmatch(str(value)):
            raise ValidationError("must be a count per period, like 60/minute or 1000/hour")
        return str(value)


def is_loopback(host: str) -> bool:
    """Return whether a socket bound to this host accepts connections from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_url(text: str) -> None:
    parts = urlsplit(text)
    if not is_origin(f"{parts.scheme}://{parts.netloc}") or parts.query or parts.fragment:
        raise ValidationError("must be an http(s) URL without a query, like https://id.example.com/realm")


def check_storage_url(text: str) -> None:
    if not re.match(r"[a-z][a-z0-9+.-]*://", text):
        raise ValidationError("must be a URL like redis://127.0.0.1:6379, or memory://")


def check_endpoint(text: str) -> None:
    if not is_origin(text.rstrip("/")):
        raise ValidationError("must be an http(s) URL without a path, like http://127.0.0.1:9000")


def boolean(**options: Any) -> fields.Boolean:
    return fields.Boolean(
        truthy={"true", "True", "TRUE", "1", "yes", "on"},
        falsy={"false", "False", "FALSE", "0", "no", "off"},
        error_messages={"invalid": "must be true or false"},
        **options,
    )


def choice(*allowed: str, **options: Any) -> fields.String:
    rule = validate.OneOf(allowed, error=f"must be one of {', '.join(allowed)}")
    return fields.String(validate=rule, **options)


def number(least: int, most: int, **options: Any) -> WholeNumber:
    rule = validate.Range(least, most, error=f"must be {least} to {most}")
    return WholeNumber(validate=rule, **options)


def matching(pattern: re.Pattern[str], rule: str, **options: Any) -> fields.String:
    def check(value: str) -> None:
        if not pattern.fullmatch(value):
            raise ValidationError(rule)

    return fields.String(validate=check, **options)


def doc(text: str, example: str | None = None, **more: Any) -> dict[str, Any]:
    return {"doc": text, "example": example, **more}
