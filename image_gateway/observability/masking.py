"""Masks secrets in log text; the remaining prefix shows the kind of secret.

Every pattern starts with a literal and uses possessive quantifiers, so the run time is linear in the text's
length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MASKED = "[masked]"
# Every text that a pattern below matches contains one of these words in lower case.
_HINTS = (
    "igl",
    "igs_",
    "eyj",
    "bearer",
    "authorization",
    "x-amz-",
    "signature",
    "policy",
    "credential",
    "key-pair-id",
    "cloudfront-",
    "imagelease",
    "token",
    "secret",
    "password",
    "lease_keys",
    "-----begin",
    "://",
)
_SECRET_NAME = re.compile(
    r"authorization|cookie|token|secret|password|signature|credential|api-?key|private_key|lease_keys|key-pair-id",
    re.IGNORECASE,
)
_QUOTE = r"\\?[\"']"
_EQUALS = r"(?:=|%(?:25)*+3[Dd])"
_GAP = r"(?:[ \t+]|%(?:25)*+20)"
# name=value, "name": "value"; for names of headers and cookies also name: value.
_NAMED_SECRET = (
    r"(?:x-amz-(?:signature|credential|security-token)|key-pair-id|cloudfront-(?:policy|signature)"
    r"|imagelease[0-9a-f-]{0,64}+)"
    rf"(?:{_EQUALS}|(?:{_QUOTE})?:[ \t]*+)"
    rf"|(?:signature|policy|credential|token|password|secret|secret_access_key)(?:{_EQUALS}|{_QUOTE}:[ \t]*+)"
)
_ANY_CASE = re.ASCII | re.IGNORECASE
_RULES = [
    re.compile(r"(-----BEGIN [A-Z0-9 ]{0,40})-----.*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)", re.DOTALL),
    re.compile(rf"(lease_keys(?:{_QUOTE})?[=:])[^\r\n]++", _ANY_CASE),
    re.compile(
        rf"(authorization(?:{_QUOTE})?(?:{_EQUALS}|:)[ \t]*+(?:b?{_QUOTE})?(?:(?:bearer|basic|digest) )?)"
        r"[^\r\n\"']++",
        _ANY_CASE,
    ),
    # Do not mask prose such as "bearer token".
    re.compile(rf"(bearer{_GAP}++)(?!tokens?(?:[\s.,;:!?\"')]|\Z))[^\s\"'<>&;,]++", _ANY_CASE),
    re.compile(rf"((?:{_NAMED_SECRET})(?:{_QUOTE})?)[^\s\"'\\<>&;]++", _ANY_CASE),
    re.compile(r"(igl(?:~|%(?:25)*+7[Ee]))(?:[A-Za-z0-9_~-]|%(?:25)*+7[Ee])++"),
    re.compile(r"(igs_)[A-Za-z0-9_-]{20,}+"),
    re.compile(r"(eyJ)(?:[A-Za-z0-9_-]{8,}+|[A-Za-z0-9_-]*+(?=\.eyJ))(?:\.[A-Za-z0-9_-]++)*+"),
    re.compile(r"(://[^/\s:@\"']*+:)[^/\s@\"']++(?=@)"),
]


def mask(text: str) -> str:
    """Return the text with every secret of a known shape or name masked. Idempotent."""
    lowered = text.lower()
    for hint in _HINTS:  # a generator expression would take longer than the search
        if hint in lowered:
            break
    else:
        return text
    for rule in _RULES:
        text = rule.sub(rf"\1{MASKED}", text)
    return text


@lru_cache(maxsize=1024)
def names_a_secret(name: str) -> bool:
    """Return whether values of this header, cookie or field name are always masked."""
    return _SECRET_NAME.search(name) is not None


def mask_value(value: Any) -> Any:
    """Return a JSON-compatible copy of the value with all text masked; other types are converted to text."""
    if isinstance(value, str):
        return mask(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return mask_fields({mask(str(name)): field for name, field in value.items()})
    if isinstance(value, (list, tuple, set, frozenset)):
        return [mask_value(item) for item in value]
    return mask(str(value))


def mask_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the dictionary with values masked by name or by shape."""
    return {
        name: MASKED if isinstance(value, (str, bytes)) and names_a_secret(name) else mask_value(value)
        for name, value in fields.items()
    }
