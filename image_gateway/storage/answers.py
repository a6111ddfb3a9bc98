"""Checks of a store's answers to reads: bytes that are not exactly those asked for are never passed on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from image_gateway.errors import StoreError
from image_gateway.protocol.ranges import Part

_log = logging.getLogger(__name__)


def check_encoding(answer: Mapping[str, Any]) -> None:
    """Refuse an object that is stored encoded, so that its bytes are not the image's."""
    encoding = answer.get("ContentEncoding")
    if encoding not in (None, "", "identity"):
        _log.error("refusing an object whose Content-Encoding is %r", encoding)
        raise StoreError("the object is stored with a content encoding, so its bytes are not the image's")


def check_length(answer: Mapping[str, Any]) -> None:
    """Refuse an answer whose end cannot be told from its being cut off (RFC 9112 §6.3)."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if answer.get("ContentLength", -1) < 0 or "transfer-encoding" in headers:
        _log.error("refusing an answer of the store without one Content-Length")
        raise StoreError("the store's answer does not say how long it is")


def check_range(answer: Mapping[str, Any], part: Part) -> int:
    """Return the object's size from Content-Range; StoreError unless exactly `part` was answered."""
    unit, _, size = str(answer.get("ContentRange", "")).partition("/")
    expected, _, _ = part.as_content_range(0).partition("/")
    if unit != expected or not (size.isascii() and size.isdigit()) or answer["ContentLength"] != part.length:
        _log.error("asked for %s, the store answered Content-Range %r", expected, answer.get("ContentRange"))
        raise StoreError("the store did not answer the range that was asked for")
    return int(size)
