"""The gateway's configuration as text; tests/docker runs it."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "haproxy"
CONFIGURATION = (FOLDER / "haproxy.cfg").read_text()
# The sender's, not adjustable there.
ANSWER_MS_MAX = 2000


def answers() -> list[tuple[str, dict[str, object], str]]:
    """Return status, body and Retry-After of every answer that the gateway gives itself."""
    found = re.findall(
        r"^ *http-error status (\d+) content-type application/json string '(.*?)'"
        r"(?: hdr Retry-After (\d+))?$",
        CONFIGURATION,
        re.MULTILINE,
    )
    assert len(found) == CONFIGURATION.count("http-error status")
    return [(status, json.loads(body), retry_after) for status, body, retry_after in found]


def test_every_answer_of_the_gateway_is_documented() -> None:
    """And none that it does not give."""
    receiving = (ROOT / "docs" / "receiving.md").read_text()
    rows = re.findall(r"^\| ([45]\d\d) \| ([^|]*) \| [^|]+ \| (.*)\|$", receiving, re.MULTILINE)
    documented = {(status, info, retry_after.strip()) for status, info, retry_after in rows}
    assert documented == {(status, body["ErrorInfo"], retry) for status, body, retry in answers()}


def test_every_answer_of_the_gateway_is_one_that_the_sender_reads() -> None:
    """FAIL, and a code that refuses no message."""
    for _, body, _ in answers():
        assert (body["ActionStatus"], body["ErrorCode"]) == ("FAIL", 1)
        assert set(body) == {"ActionStatus", "ErrorInfo", "ErrorCode"}


def test_the_gateway_answers_while_the_sender_still_waits() -> None:
    """Whatever the replicas do, and with a tenth of the time left for the way there and back."""
    connect_ms, server_ms, retries = (
        int(re.findall(rf"^ *{name} (\d+)(?:ms)?$", CONFIGURATION, re.MULTILINE)[0])
        for name in ("timeout connect", "timeout server", "retries")
    )
    assert (1 + retries) * (connect_ms + server_ms) <= ANSWER_MS_MAX * 0.9


def test_the_gateway_is_told_what_it_asks_for() -> None:
    """A variable that HAProxy does not find is empty there, without a fault."""
    compose = (ROOT / "docker-compose.yml").read_text()
    told = set(re.findall(r"^ +(GATEWAY_\w+): ", compose, re.MULTILINE))
    asked = set(re.findall(r"\$(GATEWAY_\w+)", CONFIGURATION + (FOLDER / "checked").read_text()))
    assert asked == told
