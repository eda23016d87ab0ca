"""
Make foreign text printable: text of callbacks, records, peers, file names and other programs.

A terminal obeys control characters, a log reader takes a line feed for the end of an entry, and
format characters hide or reorder what surrounds them. All of them are shown as escapes.
"""

import re
from unicodedata import category

LENGTH_MAX = 8192
# Control (C0, DEL, C1), format (zero-width characters, overrides of the direction), surrogates, and
# the separators of lines and paragraphs. All other characters, such as Chinese or emoji, stay.
_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NOT_ASCII_OR_DELETE = re.compile(r"[^\x00-\x7e]")


def printable(text: str | bytes, length_max: int = LENGTH_MAX) -> str:
    r"""
    Return `text` on one line, without characters that a terminal or a reader of a log obeys.

    Those are shown as escapes of Python, such as \n or \u202e. Bytes are read as UTF-8; a byte that
    is not UTF-8 is shown as \xff. The result has at most `length_max` characters, then a note with
    the number of omitted ones; if the rest is not longer than the note, the rest is shown instead.
    Nothing is raised.
    """
    if isinstance(text, bytes):
        text = text.decode(errors="backslashreplace")
    if len(text) <= length_max and text.isprintable():
        return text
    parts: list[str] = []
    length = 0
    for position, character in enumerate(text):
        part = _shown(character)
        length += len(part)
        if length > length_max:
            return "".join(parts) + _rest_or_note(text[position:])
        parts.append(part)
    return "".join(parts)


def _rest_or_note(rest: str) -> str:
    note = f"… ({len(rest)} more characters)"
    if len(rest) > len(note):
        return note
    shown = "".join(map(_shown, rest))
    return shown if len(shown) <= len(note) else note


def shortened(text: str, length_max: int) -> str:
    """Return `text` with at most `length_max` characters; "…" is in place of the rest."""
    return text if len(text) <= length_max else text[: length_max - 1] + "…"


def printable_json(encoded: str) -> str:
    """Return a JSON document with the same values, in which such characters are JSON's escapes."""
    if encoded.isprintable():
        return encoded
    return _NOT_ASCII_OR_DELETE.sub(_json_escape, encoded)


def _shown(character: str) -> str:
    if character.isprintable() or category(character) not in _ESCAPED:
        return character
    return character.encode("unicode_escape").decode()


def _json_escape(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable() or category(character) not in _ESCAPED:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
