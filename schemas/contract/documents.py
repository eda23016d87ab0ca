"""All documents of docs/contract/."""

from typing import Any

from schemas.contract.asyncapi import asyncapi
from schemas.contract.json_schemas import json_schemas

ASYNCAPI = "asyncapi.json"


def documents() -> dict[str, dict[str, Any]]:
    """Return the documents by the names of their files."""
    return {ASYNCAPI: asyncapi(), **json_schemas()}
