"""Text of others made harmless for a terminal or a log."""

from __future__ import annotations


def escape_unprintable(text: str, *, keep: str = "") -> str:
    r"""Return the text with everything that could control a terminal or reorder a line as an escape.

    These are control characters (C0, DEL, C1), line and paragraph separators, format characters such as
    those of bidirectional text, lone surrogates, and blanks other than the space. They become `\n`, `\x1b` or
    `\u202e`. A backslash stays as it is, so escaping twice changes nothing.

    Args:
        text: What a client, a server or a file name holds.
        keep: Characters to leave as they are, such as the line breaks of a message of our own.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else repr(char)[1:-1] for char in text)
