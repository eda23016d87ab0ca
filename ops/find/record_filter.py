"""Decide whether a record is wanted: of its headers, then of its body. Does no I/O."""

from collections.abc import Mapping
from typing import Any

from ops.find.needle import LineSearch, Needle, header_beginning, header_needle
from ops.find.question import Question
from schemas.body import Malformed, parse, to_text
from schemas.body_fields import integer
from schemas.callback_record import TIME, sequence_number
from schemas.identity import message_random
from schemas.outgoing_record import ID, ORIGIN, SEQUENCE
from schemas.parties import parties

# The fields of a body that name a message; events about a message name it, too.
NAMES = ("MsgKey", "MsgId", "MsgID")


class RecordFilter:
    """Compares records with a question."""

    def __init__(self, question: Question) -> None:
        self._question = question
        # Each of them must be in the body, in some writing.
        self._texts = _texts(question)
        self._needles = [Needle(text) for text in self._texts]

    def line_search(self) -> LineSearch:
        """Return how to search lines of the archive; it finds all that `matches` may accept."""
        if self._question.place:
            return header_needle(SEQUENCE, str(self._question.place[1]))
        if self._question.ce_id:
            return header_needle(ID, self._question.ce_id)
        if self._needles:
            return max(self._needles, key=lambda each: each.length)
        return header_beginning(TIME, self._question.at_text)

    def matches(self, headers: Mapping[str, str], value: bytes) -> bool:
        """Return whether a record matches; a body that is not a JSON object must have the texts."""
        if not self._headers_match(headers):
            return False
        if not self._needles:
            return True
        if not all(needle.is_in(value) for needle in self._needles):
            return False
        try:
            document = parse(value)
        except Malformed:
            return self._malformed_matches(value)
        return self._document_matches(document)

    def _headers_match(self, headers: Mapping[str, str]) -> bool:
        question = self._question
        if question.ce_id and headers.get(ID) != question.ce_id:
            return False
        if question.place:
            sequence = sequence_number(headers.get(SEQUENCE, "").encode())
            if (headers.get(ORIGIN), sequence) != question.place:
                return False
        if not headers.get(TIME, "").startswith(question.at_text):
            return False
        return question.app in (None, headers.get("ce_sdkappid"))

    def _malformed_matches(self, value: bytes) -> bool:
        whole = (self._question.message, self._question.group, *self._question.accounts)
        return all(Needle(text).is_written_in(value) for text in whole if text)

    def _document_matches(self, document: Mapping[str, Any]) -> bool:
        question = self._question
        if question.message is not None and not names_message(document, question):
            return False
        named = parties(document)
        people = {named.sender, named.recipient}
        if len(question.accounts) == 2 and people != set(question.accounts):
            return False
        return people.issuperset(question.accounts) and question.group in (None, named.group)


def names_message(document: Mapping[str, Any], question: Question) -> bool:
    """Return whether a body names the message of the question, by its key, its id or its parts."""
    if any(to_text(document.get(name)) == question.message for name in NAMES):
        return True
    numbers = question.message_numbers
    return numbers is not None and numbers == (
        integer(document.get("MsgSeq")),
        integer(message_random(document)),
        integer(document.get("MsgTime")),
    )


def _texts(question: Question) -> list[str]:
    """Return texts of which a wanted body has each one."""
    numbers = question.message_numbers
    if numbers:
        # A group's message may have the numbers without a MsgKey. The longest number is in both.
        message = [max((question.message or "").split("_"), key=len).lstrip("0") or "0"]
    else:
        message = [question.message] if question.message else []
    group = [question.group] if question.group else []
    return [*message, *question.accounts, *group]
