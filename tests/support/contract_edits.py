"""Edits of the contract's document, as a change of the code would make them."""

import functools
import json
from collections.abc import Callable
from typing import Any

from schemas.contract.asyncapi import asyncapi

Document = dict[str, Any]
Edit = Callable[[Document], object]


def schema(document: Document, name: str, *places: str) -> Any:
    """Return the schema of a component, or a part of it."""
    part = document["components"]["schemas"][name]["schema"]
    for place in places:
        part = part[place]
    return part


def header(document: Document, name: str) -> Any:
    """Return the schema of a header of records."""
    return schema(document, "RecordHeaders", "properties", name)


@functools.cache
def _current() -> str:
    return json.dumps(asyncapi())


def edited(edit: Edit) -> Document:
    """Return the current document after an edit."""
    document: Document = json.loads(_current())
    edit(document)
    return document
