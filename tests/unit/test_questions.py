"""Each question of docs/questions.md has a command that a test runs, or a page with all of them."""

import re

from support.docs_blocks import ROOT, blocks

QUESTIONS = 16


def test_each_question_has_a_command_of_a_block_or_a_page() -> None:
    """Every block of the documents is run by a test."""
    page = (ROOT / "docs" / "questions.md").read_text()
    cells = re.findall(r"^\| [^|]+\? \| ([^|]+) \|", page, re.MULTILINE)
    assert len(cells) == QUESTIONS
    commands = [cell.strip("`") for cell in cells if cell != "see there"]
    lines = [line.strip() for block in blocks("sh") for line in block.splitlines()]
    for command in commands:
        assert any(line.startswith(command) for line in lines), command
