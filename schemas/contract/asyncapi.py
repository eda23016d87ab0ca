"""The AsyncAPI document of the topics: docs/contract/asyncapi.json."""

from collections.abc import Mapping
from typing import Any

from schemas.commands import COMMANDS, Command
from schemas.contract.json_schemas import described_schemas, tims_schemas
from schemas.topics import ACTIONS, CALLBACKS, DEAD_LETTERS, Topic

# The first number is that of the topic's name, tim.callbacks.v1; the second one grows with each
# release that adds something.
VERSION = "1.1"

ABOUT = """\
Hookline stores the callbacks of Tencent Cloud IM (TIM) and writes each of them to Kafka. Read \
with `isolation_level=read_committed`. The value of a record is the body of the request, byte for \
byte; all else is in headers (CloudEvents 1.0, Kafka binary mode).

Hookline checks only the schema `Callback`. The other schemas of bodies have the fields and types \
that TIM documents. TIM may send other ones, and new commands, at any time: ignore fields that you \
do not know, and expect values of other types. docs/contract.md explains what is promised."""

FORMAT = "application/schema+json;version=draft-2020-12"
_KAFKA = "0.5.0"


def asyncapi() -> dict[str, Any]:
    """Return the document."""
    return {
        "asyncapi": "3.1.0",
        "id": "urn:hookline:contract",
        "info": {
            "title": "Hookline: callbacks of Tencent Cloud IM",
            "version": VERSION,
            "description": ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "callbacks": _channel(
                CALLBACKS,
                "Every readable callback, of any command.",
                [*COMMANDS, "AnyOtherCallback"],
            ),
            "deadLetters": _channel(
                DEAD_LETTERS,
                "Callbacks that could not be read, and records that could not be applied.",
                ["DeadLetter"],
            ),
            "deadLetterActions": _channel(
                ACTIONS, "Actions of `hookline dead-letters` on dead letters.", ["Action"]
            ),
        },
        "operations": {
            name: {"action": "send", "channel": {"$ref": f"#/channels/{channel}"}}
            for name, channel in (
                ("sendCallbacks", "callbacks"),
                ("sendDeadLetters", "deadLetters"),
                ("sendDeadLetterActions", "deadLetterActions"),
            )
        },
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _channel(topic: Topic, about: str, messages: list[str]) -> dict[str, Any]:
    configs = topic.configs(body_bytes_max=0)
    return {
        "address": topic.name,
        "description": about,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [configs["cleanup.policy"]],
                    "retention.ms": int(configs["retention.ms"]),
                },
                "bindingVersion": _KAFKA,
            }
        },
    }


def _messages() -> dict[str, Any]:
    return {
        **{name: _callback(name, rule) for name, rule in COMMANDS.items()},
        "AnyOtherCallback": {
            "title": "A callback of another command",
            "contentType": "application/json",
            "headers": _ref("RecordHeaders"),
            "payload": _ref("Callback"),
        },
        "DeadLetter": {
            "title": "A dead letter",
            "description": "Value, key and headers of the record, and headers with the reason.",
            "contentType": "application/octet-stream",
            "headers": _ref("DeadLetterHeaders"),
        },
        "Action": {
            "title": "An action on dead letters",
            "contentType": "application/json",
            "payload": _ref("DeadLetterAction"),
        },
    }


def _callback(command: str, rule: Command) -> dict[str, Any]:
    headers = {
        "allOf": [
            {"$ref": "#/components/schemas/RecordHeaders/schema"},
            {"properties": {"ce_type": {"const": command}}},
        ]
    }
    return {
        "name": command,
        "title": command,
        "contentType": "application/json",
        "headers": _with_format(headers),
        "payload": _ref(command),
        "x-identity": "message" if rule.identity == "key" else "request",
        "x-order": rule.order,
    }


def _schemas() -> dict[str, Any]:
    own = {
        name: _with_format({"description": description, **schema})
        for name, (description, schema) in described_schemas().items()
    }
    tims = tims_schemas("#/components/schemas/Element/schema")
    return own | {name: _with_format(schema) | {"x-of": "TIM"} for name, schema in tims.items()}


def _ref(name: str) -> Mapping[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _with_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"schemaFormat": FORMAT, "schema": schema}
