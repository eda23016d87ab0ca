"""Real bodies pass through the running product and arrive unchanged, byte for byte."""

import base64
import hashlib
import json
import subprocess
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord
from support.contract_schemas import callback_faults, faults, header_faults, undeclared
from support.processes.blackbox import HOOKLINE, Demo

SAMPLES = sorted((Path(__file__).parents[1] / "samples").glob("*.json"))


def post(url: str, body: bytes, method: str = "POST") -> tuple[int, dict[str, Any], Message]:
    """Return status, body and headers of the answer."""
    request = urllib.request.Request(url, data=body, method=method)  # noqa: S310 - our own URL
    try:
        with urllib.request.urlopen(request, timeout=180) as response:  # noqa: S310
            return response.status, json.loads(response.read()), response.headers
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read()), error.headers


async def in_topic(bootstrap_servers: str, topic: str) -> list[ConsumerRecord[bytes, bytes]]:
    """Return the records that a read_committed reader sees."""
    reader = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await reader.start()
    try:
        partitions = list(reader.assignment())
        ends = await reader.end_offsets(partitions)
        found: list[ConsumerRecord[bytes, bytes]] = []
        while any([await reader.position(tp) < ends[tp] for tp in partitions]):
            for records in (await reader.getmany(timeout_ms=200)).values():
                found += records
        return found
    finally:
        await reader.stop()


@pytest.mark.timeout(600)
async def test_every_sample_arrives_in_every_sink_byte_for_byte(stack: Demo) -> None:
    """The samples are compact or pretty-printed, and contain emoji and NUL."""
    app = stack.addresses["sdkappid"]
    for sample in SAMPLES:
        command = json.loads(sample.read_bytes())["CallbackCommand"]
        url = f"{stack.addresses['ingress']}?SdkAppid={app}&CallbackCommand={command}"
        status, answer, _ = post(url, sample.read_bytes())
        assert (status, answer) == (200, {"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0})
    stack.audit("--wait", "180")
    records = await in_topic(stack.addresses["kafka"], "tim.callbacks.v1")
    values = [record.value for record in records]
    with psycopg.connect(stack.addresses["postgres"]) as connection:
        rows = connection.execute(
            "select body_sha256, body, raw from hookline.messages union all"
            " select body_sha256, body, raw from hookline.events"
        ).fetchall()
    cat = subprocess.run(  # noqa: ASYNC221 - nothing else runs on this loop
        [HOOKLINE, "archive", "cat", "--archive", stack.addresses["archive"]],
        capture_output=True,
        check=True,
    ).stdout
    stored = {digest: (document, raw) for digest, document, raw in rows}
    for sample in SAMPLES:
        body = sample.read_bytes()
        assert body in values
        document, raw = stored[hashlib.sha256(body).digest()]
        assert raw == body if raw is not None else document == json.loads(body)
        if b"\n" in body:
            encoded = base64.b64encode(body).decode()
            assert f'"body_base64":"{encoded}"'.encode() in cat
        else:
            assert b'"body":' + body + b"}\n" in cat


@pytest.mark.timeout(600)
async def test_bad_input_is_named_and_what_is_authentic_is_kept(stack: Demo) -> None:
    """Each refusal is in the protocol's form; a malformed body reaches the dead-letter topic."""
    url = f"{stack.addresses['ingress']}?SdkAppid={stack.addresses['sdkappid']}"
    for status, target, body, method in (
        (403, stack.addresses["ingress"], b"{}", "POST"),
        (403, f"{stack.addresses['ingress']}?SdkAppid=1", b"{}", "POST"),
        (405, url, b"", "PUT"),
        (400, url, b"{not json: unique}", "POST"),
        (413, url, b"x" * ((1 << 20) + 1), "POST"),
    ):
        got, answer, headers = post(target, body, method)
        assert (got, answer["ActionStatus"], answer["ErrorCode"]) == (status, "FAIL", 1)
        assert answer["ErrorInfo"]
        assert status != 405 or headers["Allow"] == "POST"
    report = stack.audit("--wait", "180")
    assert report["proven"]
    sinks = [origin["sinks"] for origin in report["origins"]]
    assert sum(each["ingress_dead_letters"]["sequences"] for each in sinks) >= 1
    letters = await in_topic(stack.addresses["kafka"], "tim.callbacks.dead.v1")
    assert b"{not json: unique}" in [letter.value for letter in letters]
    for letter in letters:
        assert header_faults(letter.headers) == []
        assert header_faults(letter.headers, "DeadLetterHeaders") == []


@pytest.mark.timeout(600)
async def test_records_and_lines_of_simulated_traffic_fit_the_contract(
    stack: Demo, tmp_path: Path
) -> None:
    """With the schemas in docs/contract; the ledger says which records are of that traffic."""
    ledger = tmp_path / "ledger.jsonl"
    assert stack.simulate(ledger, rate=100, seconds=3).communicate()[0]
    stack.audit("--ledger", str(ledger), "--wait", "180")
    entries = map(json.loads, ledger.read_text().splitlines())
    sent = {entry["sha256"] for entry in entries if entry["outcome"] == "ok"}
    for record in await in_topic(stack.addresses["kafka"], "tim.callbacks.v1"):
        assert header_faults(record.headers) == []
        assert undeclared(record.headers, "RecordHeaders") == set()
        body = record.value or b""
        if (digest := hashlib.sha256(body).hexdigest()) in sent:
            command = dict(record.headers)["ce_type"].decode()
            assert callback_faults(command, json.loads(body)) == []
            sent.remove(digest)
    assert sent == set()
    cat = subprocess.run(  # noqa: ASYNC221 - nothing else runs on this loop
        [HOOKLINE, "archive", "cat", "--archive", stack.addresses["archive"]],
        capture_output=True,
        check=True,
    ).stdout
    for line in cat.splitlines():
        assert faults("ArchiveLine", json.loads(line)) == []


@pytest.mark.timeout(600)
def test_the_audit_notices_a_lost_segment(stack: Demo) -> None:
    """The audit must be able to fail."""
    post(
        f"{stack.addresses['ingress']}?SdkAppid={stack.addresses['sdkappid']}",
        SAMPLES[0].read_bytes(),
    )
    stack.audit("--wait", "180")
    segment = max(
        Path(stack.addresses["archive"]).glob("*/*/*.zst"), key=lambda p: p.stat().st_size
    )
    content = segment.read_bytes()
    # The archive would write the last segment of a chain again.
    with stack.frozen("archive"):
        segment.unlink()
        try:
            report = stack.audit(expect=1)
            assert report["missing"] > 0
            assert report["proven"] is False
            segment.write_bytes(content[:-1])
            damaged = subprocess.run(
                [HOOKLINE, "archive", "cat", "--archive", stack.addresses["archive"]],
                capture_output=True,
                check=False,
            )
            assert damaged.returncode == 1
            assert b"checksum" in damaged.stderr
        finally:
            segment.write_bytes(content)
    assert stack.audit()["proven"]
