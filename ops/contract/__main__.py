"""`python -m ops.contract DIRECTORY` writes the contract's documents; see `make docs-contract`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.contract.asyncapi import asyncapi
from schemas.contract.documents import json_schemas


def documents() -> dict[str, str]:
    """Return the texts of all documents by the names of their files."""
    texts: dict[str, Mapping[str, Any]] = {"asyncapi.json": asyncapi(), **json_schemas()}
    return {
        name: json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        for name, document in texts.items()
    }


if __name__ == "__main__":
    for file, text in documents().items():
        (Path(sys.argv[1]) / file).write_text(text, encoding="utf-8")
