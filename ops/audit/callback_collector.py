"""
Parse the records of callbacks, add the content of each callback once, and count it.

Does no I/O but on temporary files.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ops.audit.collected import Collected
from ops.audit.difference import Location
from ops.audit.expected_counts import NOT_COUNTED
from schemas.body import Malformed, parse
from schemas.callback_record import CallbackRecord, NotACallback, parse_callback_record
from schemas.identity import IdentifyingParts, content_digest


class CallbackCollector:
    """Parses the records of callbacks, and adds their contents and counts to `collected`."""

    def __init__(self, collected: Collected) -> None:
        self._collected = collected
        self._contents = collected.contents

    def parse_and_admit(
        self, value: bytes, headers: Iterable[tuple[str, bytes]], *, adds_to_foreign_count: bool
    ) -> CallbackRecord | None:
        """
        Return a record as a callback, None if it is not one, or its sequence is not admitted.

        Count a record that is not one; add the callback's origin, and note a sequence that is too
        high (`Origins.admit`).

        `adds_to_foreign_count`: False for a copy of a record that the audit also reads, so that a
        foreign record counts once.
        """
        try:
            callback = parse_callback_record(value, headers)
        except NotACallback:
            callback = None
        if callback is None or callback.sequence < 1:
            self._collected.foreign_count += adds_to_foreign_count
            return None
        return (
            callback if self._collected.origins.admit(callback.origin, callback.sequence) else None
        )

    def add_record(self, callback: CallbackRecord, location: Location) -> None:
        """Add a callback that is in the main topic."""
        self._add(callback, location, self._contents.add_copy)

    def add_archived(self, callback: CallbackRecord, location: Location) -> None:
        """Add a callback that is in the archive."""
        self._add(callback, location, self._contents.add_archived_copy)

    def _add(
        self,
        callback: CallbackRecord,
        location: Location,
        add_copy: Callable[[str, bytes, Location], None],
    ) -> None:
        sha256 = hashlib.sha256(callback.body).digest()
        if self._contents.has_callback(callback.origin, callback.sequence):
            add_copy(callback.id, sha256, location)
            return
        document: Mapping[str, Any] | None = None
        key_number = NOT_COUNTED
        if self._collected.audits_counts:
            document = _document(callback.body)
            key_number = self._count(callback, document)
        content = content_digest(_identifying_parts(callback), document)
        self._contents.add(callback.id, sha256, location, content, key_number)

    def _count(self, callback: CallbackRecord, document: Mapping[str, Any] | None) -> int:
        last_sequence = self._collected.origins.last_sequence(callback.origin) or 0
        return self._collected.message_counts.add(
            callback,
            document,
            is_up_to_end=callback.sequence <= last_sequence,
            with_people=self._collected.statistics.people is not None,
        )

    def add_dead_letter(self, callback: CallbackRecord, location: Location) -> None:
        """Add a callback that is in the dead-letter topic. It is not counted."""
        sha256 = hashlib.sha256(callback.body).digest()
        content = content_digest(_identifying_parts(callback))
        self._contents.add_dead_letter(callback.id, sha256, location, content)


def _document(body: bytes) -> Mapping[str, Any] | None:
    """Return a parsed body, None if it is malformed."""
    try:
        return parse(body)
    except Malformed:
        return None


def _identifying_parts(callback: CallbackRecord) -> IdentifyingParts:
    return IdentifyingParts(
        callback.sdkappid,
        callback.command,
        callback.client_ip,
        callback.opt_platform,
        callback.body,
    )
