"""Escapes untrusted text for terminals and logs."""

from __future__ import annotations


def escape_unprintable(text: str, *, keep: str = "") -> str:
    r"""Return the text with every character escaped that could control a terminal or reorder a line.

    These are control characters (C0, DEL, C1), line and paragraph separators, format characters (such as
    bidirectional overrides), lone surrogates, and all white space except the space. They become `\n`,
    `\x1b` or `\u202e`. Backslashes are not escaped, so escaping is idempotent.

    Args:
        text: Untrusted text, such as a header, a response or a file name.
        keep: Characters to leave unchanged, such as the line breaks of a message of our own.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else repr(char)[1:-1] for char in text)
