"""The record of the main topic that a dead letter of the ingress becomes by the present rules."""

import msgspec

from ops.dead_letters.letter import DeadLetter
from schemas.body import Malformed, parse
from schemas.callback_record import received_at_s
from schemas.outgoing_record import (
    COMMAND_BYTES_MAX,
    ID,
    UNKNOWN_COMMAND,
    OutgoingRecord,
    ReceivedCallback,
    main_topic_record,
    with_place_and_id,
)
from schemas.topics import CALLBACKS

# A longer command was cut within this many bytes of the bound, at the end of a character.
_CUT_BYTES = 3


def repaired(letter: DeadLetter) -> OutgoingRecord:
    """
    Return the record of the main topic.

    A callback that Kafka had refused is as it was. One that was malformed is read again, and keeps
    its id, which no other callback has: its copy in the dead-letter topic has it, too.

    Raises:
        Malformed: it is still malformed, or no ingress wrote it.
    """
    if not letter.origin or letter.sequence < 1:
        raise Malformed("it has no origin and sequence, so no ingress wrote it")
    if letter.was_refused_by_kafka:
        return OutgoingRecord(CALLBACKS.name, letter.key, letter.headers, letter.value)
    made = main_topic_record(_received(letter))
    headers = [header for header in made.headers if header[0] != ID]
    return msgspec.structs.replace(
        made, headers=with_place_and_id(headers, letter.origin, letter.sequence)
    )


def _received(letter: DeadLetter) -> ReceivedCallback:
    """Return the request as the ingress received it, as far as the headers have it."""
    named = {name: value.decode("utf-8", "replace") for name, value in letter.headers}
    received_s = received_at_s(letter.headers)
    if received_s is None or not named.get("ce_sdkappid"):
        raise Malformed("its headers lack the app or the time of receipt, so no ingress wrote it")
    command = "" if letter.command == UNKNOWN_COMMAND else letter.command
    # Without a command in the body, one that may have been cut would become another command.
    is_cut = len(command.encode()) >= COMMAND_BYTES_MAX - _CUT_BYTES
    if is_cut and parse(letter.value).get("CallbackCommand") is None:
        raise Malformed("its command may be longer than its header")
    return ReceivedCallback(
        sdkappid=named["ce_sdkappid"],
        url_command=command,
        client_ip=named.get("ce_clientip", ""),
        opt_platform=named.get("ce_optplatform", ""),
        received_at_ms=round(received_s * 1000),
        body=letter.value,
    )
