"""The gateway's configuration as text; tests/docker runs it."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "haproxy"
CONFIGURATION = (FOLDER / "haproxy.cfg").read_text()
# The sender's time-out, which cannot be changed.
ANSWER_MS_MAX = 2000


def answers() -> list[tuple[str, dict[str, object], str]]:
    """Return status, body and Retry-After of every answer that the gateway gives itself."""
    lines = re.findall(
        r"^ *http-error status (\d+) content-type application/json string '(.*?)'"
        r"(?: hdr Retry-After (\d+))?$",
        CONFIGURATION,
        re.MULTILINE,
    )
    assert len(lines) == CONFIGURATION.count("http-error status")
    return [(status, json.loads(body), retry_after) for status, body, retry_after in lines]


def test_the_documented_answers_are_exactly_those_of_the_gateway() -> None:
    """A change of the configuration must change the page, too."""
    receiving = (ROOT / "docs" / "receiving.md").read_text()
    rows = re.findall(r"^\| ([45]\d\d) \| ([^|]*) \| [^|]+ \| (.*)\|$", receiving, re.MULTILINE)
    documented = {(status, info, retry_after.strip()) for status, info, retry_after in rows}
    assert documented == {(status, body["ErrorInfo"], retry) for status, body, retry in answers()}


def test_every_answer_of_the_gateway_is_one_that_the_sender_reads() -> None:
    """The answer is FAIL, with an ErrorCode that never blocks a message."""
    for _, body, _ in answers():
        assert (body["ActionStatus"], body["ErrorCode"]) == ("FAIL", 1)
        assert set(body) == {"ActionStatus", "ErrorInfo", "ErrorCode"}


def test_the_gateway_answers_while_the_sender_still_waits() -> None:
    """Its time-outs and retries together leave a tenth of the sender's time for the network."""
    connect_ms, server_ms, retries = (
        int(re.findall(rf"^ *{name} (\d+)(?:ms)?$", CONFIGURATION, re.MULTILINE)[0])
        for name in ("timeout connect", "timeout server", "retries")
    )
    assert (1 + retries) * (connect_ms + server_ms) <= ANSWER_MS_MAX * 0.9


def test_the_gateway_replaces_the_header_that_names_the_sender() -> None:
    """`set-header` removes the sender's own headers of this name; `add-header` would keep them."""
    assert re.findall(r".*X-Forwarded-For.*", CONFIGURATION, re.IGNORECASE) == [
        "    http-request set-header X-Forwarded-For %[src]"
    ]
    compose = (ROOT / "docker-compose.yml").read_text()
    assert "INGRESS_GATEWAY_NETWORKS: " in compose


def test_compose_sets_every_variable_that_the_gateway_reads() -> None:
    """HAProxy reads a missing variable as empty and reports no fault."""
    compose = (ROOT / "docker-compose.yml").read_text()
    given = set(re.findall(r"^ +(GATEWAY_\w+): ", compose, re.MULTILINE))
    asked = set(re.findall(r"\$(GATEWAY_\w+)", CONFIGURATION + (FOLDER / "checked").read_text()))
    assert asked == given
