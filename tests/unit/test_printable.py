"""Text from outside never controls a terminal or a log, in whatever command or line it is shown."""

import contextlib
import functools
import io
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reports import report_with

from ops import terminal
from ops.archive import output as archive_output
from ops.archive.verify import OriginSequences, VerifyResult
from ops.audit import output as audit_output
from ops.audit.ledger_report import LedgerReport
from ops.audit.report import ARCHIVE, KAFKA, OriginReport, SinkReport
from ops.demo.output import address_lines, export_lines
from ops.demo.services import StackAddresses
from ops.simulate.output import traffic_table
from ops.simulate.result import TrafficResult
from schemas.log_lines import LOG_CHARACTERS_MAX, JsonLines, TextLines
from schemas.printable import printable, printable_json

HOSTILE = (
    "\x1b]0;title\x07\x1b[2J\r\n\x00\x7f\x85\x9b1m\u202e\u2066\u200b\u2028\u2029\ufeff\ud800\U000e0001"
    "[bold]x[/nosuch]:smile:"
)
foreign = st.one_of(
    st.text(st.characters(codec=None)),
    st.lists(st.sampled_from([*HOSTILE, "[", "]", "/", "%", "{", "}", "会", "😀"])).map("".join),
    st.binary().map(lambda name: name.decode("utf-8", "surrogateescape")),
    st.just(HOSTILE),
)


@pytest.fixture(autouse=True, scope="module")
def _wide() -> Iterator[None]:
    """Have rich break no line, so that each line of the output is one that the command wrote."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal._out, "_width", 20_000)  # noqa: SLF001
        patch.setattr(terminal._err, "_width", 20_000)  # noqa: SLF001
        yield


def controls(text: str) -> list[str]:
    """Return the characters of `text` that must not be shown."""
    return [each for each in text if category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def shown(show: Callable[[], object]) -> str:
    """Return the text that `show` prints on stdout or stderr."""
    with contextlib.ExitStack() as streams:
        written = streams.enter_context(contextlib.redirect_stdout(io.StringIO()))
        streams.enter_context(contextlib.redirect_stderr(written))
        show()
        return written.getvalue()


@given(st.one_of(foreign, st.binary()), st.integers(0, 100))
def test_printable_text_has_no_control_characters_and_a_bounded_length(
    text: str | bytes, length_max: int
) -> None:
    """An omitted part is counted."""
    printed = printable(text, length_max)
    assert not controls(printed)
    kept, _, omitted = printed.partition("… (")
    if omitted and isinstance(text, str) and "…" not in text:
        assert len(kept) <= length_max
        assert 0 < int(omitted.removesuffix(" more characters)")) <= len(text)
    elif not omitted:
        assert len(printed) <= length_max + len(f"… ({len(text)} more characters)")


def test_escapes_are_those_of_python_and_other_text_stays() -> None:
    """People can read Chinese and emoji."""
    assert printable("\x1b]0;x\x07\n\x9b\u202e") == r"\x1b]0;x\x07\n\x9b\u202e"
    assert printable("会议 😀 é\u00a0[bold]") == "会议 😀 é\u00a0[bold]"
    assert printable(b"\xff\x00a") == r"\xff\x00a"
    assert printable("abc" + "d" * 40, 3) == "abc… (40 more characters)"
    assert printable("ab\x1b" + "\x1b" * 9, 6) == r"ab\x1b… (9 more characters)"
    # The note would be longer than what it stands for.
    assert printable("abcdef", 3) == "abcdef"


@given(foreign)
def test_printable_json_has_the_same_value(text: str) -> None:
    """A program that reads the JSON gets the original text."""
    encoded = printable_json(json.dumps({text: [text]}, ensure_ascii=False))
    assert not controls(encoded)
    assert json.loads(encoded) == {text: [text]}
    line = shown(lambda: terminal.print_json({text: [text]}))
    assert json.loads(line) == {text: [text]}
    assert not controls(line.removesuffix("\n"))


@pytest.mark.parametrize("formatter", [TextLines(), JsonLines()])
@given(text=foreign, name=foreign)
def test_a_log_entry_is_one_line(formatter: logging.Formatter, text: str, name: str) -> None:
    """A peer can forge no entry, also if its text is in an exception."""
    error = ValueError(text)
    raised = (ValueError, error, error.__traceback__)
    entry = logging.LogRecord(name, logging.INFO, "x", 1, "%s from %r", (text, text), raised)
    assert not controls(formatter.format(entry))


@pytest.mark.parametrize("formatter", [TextLines(), JsonLines()])
def test_a_log_entry_is_bounded(formatter: logging.Formatter) -> None:
    """A peer cannot fill the disk with one request."""
    entry = logging.LogRecord("x", logging.INFO, "x", 1, "%s", ("x" * 10**6,), None)
    assert len(formatter.format(entry)) < LOG_CHARACTERS_MAX + 200


def an_audit(text: str) -> None:
    """Print the report of an audit with `text` wherever text of a record may be."""
    sinks = {name: SinkReport(sequences=1, missing=1) for name in (KAFKA, ARCHIVE)}
    terminal.show(
        audit_output.render(
            report_with(
                origins=[OriginReport(origin=text, last_sequence=2, sinks=sinks, expired=1)],
                doubts={text: text},
                quarantined={text: (1,)},
                ledger=LedgerReport(
                    sent=1,
                    ok=1,
                    other_answer=0,
                    other_answer_but_stored=0,
                    unanswered=0,
                    unanswered_but_stored=0,
                    missing={},
                    changed=1,
                    listed=[text],
                ),
            )
        )
    )


def a_simulation(text: str) -> None:
    """Print the result of a simulation."""
    counts = Counter({text: 2})
    terminal.show(traffic_table(TrafficResult(commands=counts, not_ok=counts, second_tries=counts)))


def a_verification(text: str) -> None:
    """Print the result of a verification."""
    origins = {text: OriginSequences(sequences=1, absent=1, listed=[(1, 1)], doubled=1)}
    verified = VerifyResult(segments=1, records=1, size=1, faults=[(text, text)], origins=origins)
    terminal.show(archive_output.verified(verified))


def addresses(text: str) -> None:
    """Print the addresses of a demo."""
    names = [field.name for field in fields(StackAddresses)]
    made: dict[str, Any] = dict.fromkeys(names, text)
    made |= dict.fromkeys(("ingresses", "admins", "consumers"), (text,))
    stack = StackAddresses(**made)
    terminal.say_whole([*address_lines(stack), *export_lines(stack)])


def waiting(text: str) -> None:
    """Show what a command waits for."""
    with terminal.waiting(text) as update:
        update(text)


OUTPUTS = (an_audit, a_simulation, a_verification, addresses, waiting, terminal.say, terminal.warn)


@functools.cache
def lines_of_plain_text(output: Callable[[str], object]) -> int:
    """Return how many lines the output has with plain text."""
    return shown(lambda: output("plain")).count("\n")


@pytest.mark.parametrize("output", [*OUTPUTS, terminal.echo])
@given(text=foreign)
def test_no_output_is_changed_by_the_text_in_it(output: Callable[[str], object], text: str) -> None:
    """It has as many lines as with plain text, no control character, and raises nothing."""
    printed = shown(lambda: output(text))
    assert not controls(printed.replace("\n", ""))
    assert printed.count("\n") == lines_of_plain_text(output)


@given(foreign)
def test_a_table_shows_text_as_it_is_but_printable(text: str) -> None:
    """Nothing is parsed as markup."""
    table = terminal.new_table(text)
    table.add_column(text)
    table.add_row(text)
    assert not controls(shown(lambda: terminal.show(table)).replace("\n", ""))
    table = terminal.new_table("")
    table.add_column("")
    table.add_row("[bold]x[/nosuch] :smile:")
    assert "[bold]x[/nosuch] :smile:" in shown(lambda: terminal.show(table))
