"""`hookline simulate` as a command, against a running ingress: signing, replay and exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.processes.blackbox import ANSWER_S_MAX, hookline
from support.processes.ingress import Ingress

# No broker is there: requests are answered without it.
NO_KAFKA = "127.0.0.1:1"
APP, SIGNED_APP = "1400000001", "1400000002"
pytestmark = pytest.mark.timeout(600)


def body(number: int) -> dict[str, object]:
    """Return the body of a callback."""
    return {
        "CallbackCommand": "C2C.CallbackAfterSendMsg",
        "From_Account": "a",
        "To_Account": "b",
        "MsgKey": f"7_{number}_1700000000",
        "EventTime": 1_700_000_000_000 + number,
        "MsgBody": [],
    }


def record(number: int, app: str) -> dict[str, object]:
    """Return a line of the archive."""
    headers = {
        "ce_id": "x",
        "ce_sdkappid": app,
        "ce_type": "C2C.CallbackAfterSendMsg",
        "ce_time": f"2026-11-28T14:00:{number:02}.000Z",
        "ce_clientip": "10.0.0.1",
        "ce_optplatform": "iOS",
    }
    place = {"topic": "tim.callbacks.v1", "partition": 0, "offset": number, "timestamp": 1}
    return {**place, "key": None, "headers": headers, "body": body(number)}


async def test_requests_are_signed_and_recorded_callbacks_are_replayed(
    tmp_path: Path, new_ingress: Callable[..., Ingress]
) -> None:
    """The answers are counted by name; without any OK the exit code is 1."""
    secrets, wrong = tmp_path / "tokens.toml", tmp_path / "wrong.toml"
    secrets.write_text(f'{SIGNED_APP} = ["new", "old"]')
    wrong.write_text(f'{SIGNED_APP} = ["other"]')
    ingress = new_ingress(tmp_path / "spool", NO_KAFKA, tokens_file=secrets)
    await ingress.start()
    to = ["simulate", "--url", f"http://127.0.0.1:{ingress.port}/", "--rate", "2000"]
    to += ["--timeout", str(ANSWER_S_MAX)]
    ledger = tmp_path / "ledger"

    both = ("--sdkappid", f"{APP},{SIGNED_APP}", "--count", "50", "--json")
    signed = json.loads(hookline(*to, *both, "--tokens-file", str(secrets)))
    assert (signed["ok"], signed["answers"]) == (50, [{"answer": "ok", "reason": "", "count": 50}])
    alone = ("--sdkappid", SIGNED_APP, "--count", "10")
    by_environment = json.loads(hookline(*to, *alone, "--json", env={"OPS_TOKEN": "old"}))
    assert by_environment["ok"] == 10
    refused = hookline(*to, *alone, "--tokens-file", str(wrong), expect=1)
    assert ["wrong_sign", "10", "answered", "403:", "Sign", "does", "not", "match"] in [
        line.split() for line in refused.splitlines()
    ]
    assert hookline(*to, *alone, expect=1).count("unsigned") == 1

    stored = (await ingress.status())["last_sequence"]
    recording = tmp_path / "recording.jsonl"
    lines = [record(3, APP), record(1, SIGNED_APP), body(2)]
    recording.write_text("\n".join(map(json.dumps, lines)))
    replay = ("--replay", str(recording), "--ledger", str(ledger), "--json")
    sent = json.loads(
        hookline(
            *(*to, *replay, "--order", "time", "--tokens-file", str(secrets)),
            env={"OPS_SDKAPPID": APP},
        )
    )
    assert (sent["sent"], sent["ok"]) == (3, 3)
    # A body is placed by its EventTime, which is before the receipt of the records.
    apps = [json.loads(line)["sdkappid"] for line in ledger.read_text().splitlines()]
    assert sorted(apps) == [APP, APP, SIGNED_APP]
    assert (await ingress.status())["last_sequence"] == stored + 3

    recording.write_text(json.dumps(body(1)) + "\n{not json\n")
    hookline(*to, *replay, "--sdkappid", APP, expect=2)
    assert (await ingress.status())["last_sequence"] == stored + 3
