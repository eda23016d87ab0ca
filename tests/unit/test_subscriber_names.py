"""The names that deploy/kafka/subscriber refuses; tests/docker runs it in the broker."""

import subprocess
from pathlib import Path

import pytest

from ops.acls.rights import CONSUMER_GROUPS, REPLAY_GROUPS, WEBHOOK_GROUPS

SUBSCRIBER = Path(__file__).parents[2] / "deploy" / "kafka" / "subscriber"


@pytest.mark.parametrize(
    "name", [*CONSUMER_GROUPS, f"{WEBHOOK_GROUPS}crm", f"{REPLAY_GROUPS}sync", "hookline"]
)
def test_a_subscriber_cannot_have_the_name_of_a_group_of_ours(name: str) -> None:
    """In the group of a consumer it would get partitions, and commit the consumer's offsets."""
    done = subprocess.run([SUBSCRIBER, "add", name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "subscriber" in done.stderr
