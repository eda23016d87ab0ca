"""Write the documents of docs/contract: `python -m ops.contract DIRECTORY`."""

import json
import sys
from pathlib import Path

from schemas.contract.documents import documents


def texts() -> dict[str, str]:
    """Return the texts of all documents by the names of their files."""
    return {
        name: json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        for name, document in documents().items()
    }


if __name__ == "__main__":
    for file, text in texts().items():
        (Path(sys.argv[1]) / file).write_text(text, encoding="utf-8")
