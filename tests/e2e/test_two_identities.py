"""Cases from the field through the running product: the number of different callbacks."""

import hashlib
import json
import urllib.parse
import urllib.request
from pathlib import Path

import psycopg
import pytest
from support.processes.blackbox import Demo

CASES = Path(__file__).parents[1] / "samples" / "identity" / "cases.json"


@pytest.mark.timeout(600)
def test_the_database_has_every_event_once_and_a_repeat_not_again(stack: Demo) -> None:
    """In some cases only the URL names the device; the audit finds no two events with one ce_id."""
    cases = json.loads(CASES.read_bytes())
    for case in cases:
        for request in case["requests"]:
            query = urllib.parse.urlencode(
                {"SdkAppid": stack.addresses["sdkappid"]} | request["url"]
            )
            with urllib.request.urlopen(  # noqa: S310 - our own URL
                f"{stack.addresses['ingress']}?{query}", json.dumps(request["body"]).encode()
            ) as answer:
                assert answer.status == 200
    assert stack.audit("--wait", "180")["proven"]
    with psycopg.connect(stack.addresses["postgres"]) as connection:
        for case in cases:
            digests = [
                hashlib.sha256(json.dumps(request["body"]).encode()).digest()
                for request in case["requests"]
            ]
            rows = connection.execute(
                "select ce_id from hookline.messages where body_sha256 = any(%(digests)s) union all"
                " select ce_id from hookline.events where body_sha256 = any(%(digests)s)",
                {"digests": digests},
            ).fetchall()
            assert len(rows) == len(set(rows)) == case["different_ids"], case["name"]
