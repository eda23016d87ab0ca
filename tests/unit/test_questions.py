"""Each question of docs/questions.md has a command that a test runs, or a page with all of them."""

import re

from support.docs_blocks import ROOT, blocks

QUESTIONS = 19


def test_each_question_has_a_command_of_a_block_or_a_page() -> None:
    """Every block of the documents is run by a test."""
    page = (ROOT / "docs" / "questions.md").read_text()
    cells = re.findall(r"^\| [^|]+\? \| ([^|]+) \|", page, re.MULTILINE)
    assert len(cells) == QUESTIONS
    commands = [cell.strip("`") for cell in cells if cell != "several steps"]
    lines = [line.strip() for block in blocks("sh") for line in block.splitlines()]
    for command in commands:
        # The page says how the two forms of a command are made of each other.
        forms = (command, re.sub("^hookline", "docker compose run --rm ops", command))
        assert any(line.startswith(forms) for line in lines), command
    several_steps = re.findall(r"^\| [^|]+\? \| several steps \| ([^|]+) \|$", page, re.MULTILINE)
    assert len(several_steps) == len(cells) - len(commands)
    assert all("](" in cell for cell in several_steps)
