"""Validate records, lines and actions with the JSON Schemas in docs/contract."""

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator, Registry

FOLDER = Path(__file__).parents[2] / "docs" / "contract"


@functools.cache
def schema(name: str) -> dict[str, Any]:
    """Return the schema in a file of docs/contract."""
    schema: dict[str, Any] = json.loads((FOLDER / f"{name}.schema.json").read_text())
    return schema


@functools.cache
def _validator(name: str, definition: str) -> Draft202012Validator:
    document = schema(name)
    registry = Registry([(document["$id"], document)])
    fragment = f"#/$defs/{definition}" if definition else ""
    return Draft202012Validator(
        {"$ref": document["$id"] + fragment}, registry=registry, validate_formats=True
    )


def faults(name: str, value: object, definition: str = "") -> list[str]:
    """Return how a value differs from the schema in a file, or from a definition in it."""
    errors = _validator(name, definition).iter_errors(value)
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in errors]


def callback_faults(command: str, document: object) -> list[str]:
    """Return how a body differs from what TIM documents for its command and its elements."""
    all_faults = faults("Callback", document) + faults("Callback", document, command)
    elements = document.get("MsgBody", []) if isinstance(document, dict) else []
    for element in elements:
        if element["MsgType"] in schema("Callback")["$defs"]:
            all_faults += faults("Callback", element, element["MsgType"])
    return all_faults


def header_faults(headers: Iterable[tuple[str, bytes]], name: str = "RecordHeaders") -> list[str]:
    """Return how a record's headers differ from the schema in a file."""
    return faults(name, {header: value.decode() for header, value in headers})


def undeclared(headers: Iterable[tuple[str, bytes]], *names: str) -> set[str]:
    """Return the names of headers that no schema in these files has."""
    declared = {header for name in names for header in schema(name)["properties"]}
    return {header for header, _ in headers} - declared
