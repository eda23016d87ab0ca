"""What the statistics API accepts: tokens, parameters, and its description of them."""

from pathlib import Path

import msgspec
import pytest
from multidict import MultiDict

from consumers.stats.answers import Figures, People
from consumers.stats.openapi import document
from consumers.stats.problems import RequestRefused
from consumers.stats.query import read
from consumers.stats.routes import DOCUMENTED, SERIES
from consumers.stats.tokens import Tokens, parse
from schemas.figures import PEOPLE, SUMS
from schemas.tokens_file import UnusableFile


def test_the_answers_have_every_figure_that_is_counted() -> None:
    """And two that are computed."""
    assert set(Figures.__struct_fields__) == {*SUMS, "messages", "delivered"}
    assert set(People.__struct_fields__) == set(PEOPLE)


def test_each_parameter_accepts_its_own_example() -> None:
    """So the examples in /openapi.json can be copied."""
    for route in DOCUMENTED:
        for parameter in route.parameters:
            read(MultiDict({parameter.name: parameter.example}), route.parameters, route.path)


def test_the_description_is_json_without_open_references() -> None:
    """Every `$ref` leads to a component."""
    text = msgspec.json.encode(document(DOCUMENTED)).decode()
    parsed = msgspec.json.decode(text)
    for reference in set(text.split('"$ref":"#/components/')[1:]):
        kind, name = reference.split('"')[0].split("/")
        assert name in parsed["components"][kind]


@pytest.mark.parametrize(
    "text", ["2026-02-30", "2026-11-28T14:00", "1973-12", "2100-01-01", "٢٠٢٦-01-01", "", "x" * 99]
)
def test_a_moment_that_does_not_exist_or_is_ambiguous_is_refused(text: str) -> None:
    """The refusal shows little of the text."""
    with pytest.raises(RequestRefused) as refused:
        read(MultiDict({"from": text}), SERIES.parameters, SERIES.path)
    assert refused.value.problem.parameter == "from"
    assert "x" * 41 not in refused.value.problem.detail


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('page = "0123456789abcde"', "the token of 'page' must be a text of 16 to 256"),
        ('page = "0123456789 abcdef"', "without blanks"),
        ("page = 17", "the token of 'page'"),
        ("", "must have 1 to 100 tokens"),
        ('page = "0123456789abcdef', "is not valid TOML"),
    ],
)
def test_a_wrong_file_of_tokens_is_refused_and_shows_no_token(content: str, reason: str) -> None:
    """The text names the reader."""
    with pytest.raises(UnusableFile, match=reason) as refused:
        parse(content.encode(), "tokens.toml")
    assert "0123456789" not in str(refused.value)


async def test_while_the_file_is_unusable_the_tokens_before_stay_valid(tmp_path: Path) -> None:
    """A file that is half-written is not used either."""
    file = tmp_path / "tokens.toml"
    file.write_text('page = "0123456789abcdef"')
    tokens = Tokens(file)
    file.write_text("page =")
    for _ in range(2):
        await tokens.file.reread()
    assert "not valid TOML" in tokens.file.fault
    assert tokens.allow("Bearer 0123456789abcdef")
    file.write_text('page = "fedcba9876543210"')
    await tokens.file.reread()
    assert not tokens.allow("Bearer fedcba9876543210")
    await tokens.file.reread()
    assert tokens.allow("Bearer fedcba9876543210")
    assert not tokens.allow("Bearer 0123456789abcdef")
