"""Files of the product are short enough to be read at once, or say why they are not."""

from support.parsed import product_files

LINES_MAX = 250


def test_a_long_file_says_why() -> None:
    """Its docstring has the sentence."""
    sentence = f"The file has more than {LINES_MAX} lines"
    long = [
        str(path)
        for path in product_files()
        if len(path.read_text().splitlines()) > LINES_MAX and sentence not in path.read_text()
    ]
    assert long == []
