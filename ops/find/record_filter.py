"""Decide whether a record is wanted: of its headers, then of its body. Does no I/O."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ops.find.needle import AnyLine, LineSearch, Needle, header_needle
from ops.find.question import Question
from schemas.body import Malformed, parse, to_text
from schemas.callback_record import TIME, sequence_number
from schemas.identity import message_random
from schemas.message import integer, sent_at
from schemas.parties import parties
from schemas.record import ID, ORIGIN, SEQUENCE

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
        return max(self._needles, key=lambda each: each.length, default=AnyLine())

    def matches(self, headers: Mapping[str, str], value: bytes) -> bool:
        """Return whether a record is wanted. A body that is no JSON object must have the texts."""
        question = self._question
        if not self._headers_match(headers):
            return False
        if not (self._needles or question.at):
            return True
        if not all(needle.is_in(value) for needle in self._needles):
            return False
        try:
            document = parse(value)
        except Malformed:
            return self._malformed_matches(headers, value)
        return self._document_matches(headers, document)

    def _headers_match(self, headers: Mapping[str, str]) -> bool:
        question = self._question
        if question.ce_id and headers.get(ID) != question.ce_id:
            return False
        if question.place:
            sequence = sequence_number(headers.get(SEQUENCE, "").encode())
            if (headers.get(ORIGIN), sequence) != question.place:
                return False
        return question.app in (None, headers.get("ce_sdkappid"))

    def _malformed_matches(self, headers: Mapping[str, str], value: bytes) -> bool:
        whole = (self._question.message, self._question.group, *self._question.accounts)
        return _received_in(headers, self._question) and all(
            Needle(text).is_written_in(value) for text in whole if text
        )

    def _document_matches(self, headers: Mapping[str, str], document: Mapping[str, Any]) -> bool:
        question = self._question
        if question.message is not None and not names_message(document, question):
            return False
        if question.accounts or question.group is not None:
            named = parties(document)
            people = {named.sender, named.recipient}
            if len(question.accounts) == 2 and people != set(question.accounts):
                return False
            if not people.issuperset(question.accounts):
                return False
            if question.group not in (None, named.group):
                return False
        if question.at is None:
            return True
        sent = sent_at(document)
        return (sent is not None and sent in question.at) or _received_in(headers, question)


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


def _received_in(headers: Mapping[str, str], question: Question) -> bool:
    try:
        return question.at is None or datetime.fromisoformat(headers.get(TIME, "")) in question.at
    except (ValueError, TypeError):  # not a time, or one without a zone
        return False
