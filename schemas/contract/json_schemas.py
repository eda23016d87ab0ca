"""The JSON Schemas of docs/contract/, each complete in itself, by the name of its file."""

from collections.abc import Mapping
from typing import Any

from schemas.contract.objects import (
    ARCHIVE_LINE,
    ARCHIVE_SUMMARY,
    COMMAND_FIELDS,
    DEAD_LETTER_ACTION,
    DEAD_LETTER_HEADERS,
    EITHER_KEY_AND_EITHER_BODY,
    ELEMENTS,
    RECORD_HEADERS,
    any_element,
    callback_of,
    element_of,
    object_of,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# The ingress checks no more than this; see schemas/body.py and schemas/outgoing_record.py.
ANY_CALLBACK = {
    "type": "object",
    "properties": {
        "CallbackCommand": {
            "description": "If it is absent or null, only the header ce_type has the command.",
            "type": ["string", "null"],
            "minLength": 1,
        }
    },
}


def described_schemas() -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return the schemas of records, lines and actions: by name, a description and the schema."""
    return {
        "RecordHeaders": (
            "The headers of a record in the topic of callbacks; values are UTF-8.",
            object_of(RECORD_HEADERS),
        ),
        "Callback": (
            "The value of every record in the topic of callbacks: a JSON object of any command.",
            ANY_CALLBACK,
        ),
        "DeadLetterHeaders": (
            "The headers of a dead letter, besides those that the record itself has.",
            object_of(DEAD_LETTER_HEADERS),
        ),
        "DeadLetterAction": (
            "The value of a record in the topic of actions: an action on dead letters.",
            object_of(DEAD_LETTER_ACTION),
        ),
        "ArchiveLine": (
            "A line of the archive, one for each record.",
            object_of(ARCHIVE_LINE) | EITHER_KEY_AND_EITHER_BODY,
        ),
        "ArchiveSummary": (
            "The summary in the first frame of a segment of the archive.",
            object_of(ARCHIVE_SUMMARY),
        ),
    }


def tims_schemas(element: str) -> dict[str, Mapping[str, Any]]:
    """Return the callbacks and elements that TIM documents; `element` refers to any element."""
    return {
        "Element": any_element(),
        **{kind: element_of(kind) for kind in ELEMENTS},
        **{command: callback_of(command, element) for command in COMMAND_FIELDS},
    }


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return the documents by the names of their files."""
    documents = {
        f"{name}.schema.json": {
            "$schema": DIALECT,
            "$id": f"urn:hookline:contract:{name}",
            "title": name,
            "description": description,
            **schema,
        }
        for name, (description, schema) in described_schemas().items()
    }
    documents["Callback.schema.json"]["$defs"] = tims_schemas("#/$defs/Element")
    return documents
