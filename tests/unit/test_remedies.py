"""`hookline simulate` says what can be done about every answer other than OK."""

import re
from pathlib import Path

import pytest
from support.docs_blocks import ROOT

from ingress.http.answers import ANSWERS, OK
from ops.simulate.delivery import ANOTHER_SERVER_SUFFIX, CONNECTION_REFUSED, LATE, UNKNOWN_HOST
from ops.simulate.ledger import LedgerEntry, Outcome
from ops.simulate.remedies import BY_ANSWER, remedies
from ops.simulate.result import TrafficResult

URLS = ("http://127.0.0.1:1/", "http://127.0.0.1:2/")
HAPROXY = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text()
# Answers to incomplete requests and to unknown transfer codings: simulate sends neither.
NEVER_BY_SIMULATE = {"status 400", "status 501"}


def remedies_of(outcome: Outcome, answer: str, reason: str) -> list[str]:
    """Return the remedies if this is the result of all callbacks but one."""
    result = TrafficResult()
    for number in range(3):
        result.add(
            LedgerEntry(
                id=f"{number}",
                sdkappid="1",
                command="C",
                sha256="",
                outcome=outcome if number else Outcome.OK,
                status=0,
                answer=answer if number else "ok",
                failed_tries=(reason,) if number else (),
                latency_ms=1.0,
            )
        )
    return remedies(result, URLS)


@pytest.mark.parametrize("name", [answer.name for answer in ANSWERS if answer is not OK])
def test_every_answer_of_the_public_port_has_one_remedy(name: str) -> None:
    """Also if other callbacks were answered OK; those need none."""
    (line,) = remedies_of(Outcome.OTHER_ANSWER, name, "answered 4: why")
    assert line.startswith(f"{name}: ")


def test_every_answer_of_the_gateway_has_a_remedy() -> None:
    """Those that simulate can be given."""
    own = {f"status {status}" for status in re.findall(r"http-error status (\d+)", HAPROXY)}
    assert own - NEVER_BY_SIMULATE == {name for name in BY_ANSWER if name.startswith("status ")}


@pytest.mark.parametrize(
    ("answer", "option"),
    [
        ("unsigned", "--tokens-file (OPS_TOKENS_FILE), or the token by OPS_TOKEN"),
        ("wrong_sign", "--tokens-file (OPS_TOKENS_FILE), or one of these tokens by OPS_TOKEN"),
        ("not_ours", "--sdkappid (OPS_SDKAPPID), or add this one to its INGRESS_SDKAPPIDS"),
        ("not_here", "(INGRESS_PATH) in --url (OPS_URL)"),
    ],
)
def test_a_refusal_names_the_option_and_the_variable(answer: str, option: str) -> None:
    """Those of simulate, and of the ingress."""
    assert option in remedies_of(Outcome.OTHER_ANSWER, answer, "answered 403: why")[0]


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        (CONNECTION_REFUSED, f"nothing listened at {', '.join(URLS)}: start the ingress, or"),
        (UNKNOWN_HOST, f"check the name in --url (OPS_URL): {URLS[0]}"),
        (LATE, "--timeout"),
        ("its certificate is not accepted (self-signed certificate)", "SSL_CERT_FILE"),
        ("TLS fails: WRONG_VERSION_NUMBER", "check the scheme and the port of --url (OPS_URL)"),
    ],
)
def test_a_reason_for_no_answer_has_a_remedy(reason: str, remedy: str) -> None:
    """The line begins with the reason in the table."""
    (line,) = remedies_of(Outcome.UNANSWERED, "unanswered", reason)
    assert reason.startswith(line.partition(":")[0])
    assert remedy in line


def test_a_connection_that_was_cut_has_no_remedy() -> None:
    """The ingress was killed; it is started again."""
    assert not remedies_of(Outcome.UNANSWERED, "unanswered", "connection cut before the answer")


def test_an_answer_of_another_server_is_not_taken_for_one_of_the_gateway() -> None:
    """Its status may be one that the gateway has, too."""
    for status in ("403", "404"):
        (line,) = remedies_of(
            Outcome.OTHER_ANSWER, f"status {status}", f"answered {status}{ANOTHER_SERVER_SUFFIX}"
        )
        assert "another server answered, or the admin port: check --url (OPS_URL)" in line


def test_the_options_that_the_remedies_name_exist() -> None:
    """Each --option of the lines is in the options of simulate, and so is each OPS_ variable."""
    options = (ROOT / "ops" / "simulate" / "options.py").read_text()
    lines = Path(ROOT / "ops" / "simulate" / "remedies.py").read_text()
    names = set(re.findall(r"--[a-z][a-z-]+|OPS_[A-Z_]+[A-Z]", lines))
    assert {name for name in names if f'"{name}"' not in options} == set()
