"""What a strict Content-Security-Policy and the safe handling of text forbid in files for a browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser

# What makes markup or code out of text.
_MARKUP_FROM_TEXT = re.compile(
    r"\b(?:(?:inner|outer)HTML|insertAdjacentHTML|setHTMLUnsafe|parseFromString|createContextualFragment|srcdoc"
    r"|document\s*\.\s*write(?:ln)?|eval|execScript)\b|\bFunction\s*\(|\bset(?:Timeout|Interval)\s*\(\s*[\"'`]"
    r"|javascript:"
)
# Styles and handlers that are attributes; `element.style.setProperty` of the CSSOM is allowed.
_INLINE_ATTRIBUTE = re.compile(
    r"setAttribute\(\s*[\"'`](?:style|on\w+)[\"'`]|\bcssText\b|createElement\(\s*[\"'`]style"
)
_URL = re.compile(r"\b(?:https?|wss?|ftp)://[^\s\"'`<>)]*|(?<=[\"'`(=])//[A-Za-z0-9][^\s\"'`<>)]*")
# Names of XML, which nothing fetches; hosts that RFC 2606 keeps for examples; hosts known at run time only.
_NO_OTHER_HOST = re.compile(
    r"http://www\.w3\.org/(?:2000/svg|1999/xhtml)$"
    r"|https?://(?:[\w-]+\.)*example\.(?:com|org|net)(?![\w.-])"
    r"|\w+://(?:$|\$\{)"
)
_IMPORT = re.compile(
    r"^\s*(?:import|export)\s*(?:[\w$*{},\s]+\bfrom\s*)?[\"']([^\"']+)[\"']"
    r"|\bimport\(\s*[\"']([^\"']+)[\"']\s*\)",
    re.M,
)
_INLINE_TAGS = {"style", "base"}
_INLINE_ATTRIBUTES = {"style", "srcdoc"}


def foreign_urls(text: str) -> list[str]:
    """The URLs in a text that name a host."""
    return [url for url in _URL.findall(text) if not _NO_OTHER_HOST.match(url)]


def unsafe_calls(script: str) -> list[str]:
    """What in a script makes markup, code, inline styles or handlers out of text."""
    return [
        match.group() for rule in (_MARKUP_FROM_TEXT, _INLINE_ATTRIBUTE) for match in rule.finditer(script)
    ]


def imports(script: str) -> list[str]:
    """What a script imports, as it names it."""
    return [static or dynamic for static, dynamic in _IMPORT.findall(script)]


def inline_parts(page: str) -> list[str]:
    """The scripts, styles and handlers of a page that are not files of their own."""
    parser = _InlineParts()
    parser.feed(page)
    parser.close()
    return parser.found


class _InlineParts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attributes]
        self.found += [
            f"<{tag} {name}>" for name in names if name in _INLINE_ATTRIBUTES or name.startswith("on")
        ]
        if tag in _INLINE_TAGS or (tag == "script" and "src" not in names):
            self.found.append(f"<{tag}>")
