"""The words of the page `/contract`, in English and Chinese."""

from pathlib import Path

LANGUAGES = ("en", "zh")


def _words() -> dict[str, list[str]]:
    rows = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in row.split("|")] for row in rows if not row.startswith("#")]
    return {name: texts for name, *texts in cells}


WORDS = _words()


def say(language: str, word: str, **values: object) -> str:
    """Return a text in a language, with its values."""
    return WORDS[word][LANGUAGES.index(language)].format(**values)
