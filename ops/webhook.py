"""`hookline webhook`: send one signed sample to a target, and print what came back."""

import ipaddress
import time
from pathlib import Path

import aiohttp
import click
import orjson

from consumers.runtime.batch import Record
from consumers.webhook.outcome import OutcomeKind
from consumers.webhook.sender import Attempt, TargetAnswer, in_words, open_sender
from consumers.webhook.settings import WebhookSettings, is_url
from ops.failure import ExitCode, Failure
from ops.terminal import echo, run
from schemas.clock import now_ms
from schemas.outgoing_record import ReceivedCallback, main_topic_record, with_place_and_id
from schemas.tokens_file import UnusableFile
from schemas.url_text import public_url

THEN = {
    OutcomeKind.DELIVERED: "the webhook counts the callback as delivered",
    OutcomeKind.FAILED: "the webhook tries again later, and the conversation waits",
    OutcomeKind.REFUSED: "the webhook sends the callback to the dead-letter topic",
    OutcomeKind.GONE: "the webhook stops and waits for a person",
}

# The origin of samples, which no spool has. An audit leaves samples out.
SAMPLE_ORIGIN = 16 * "0"


class NotAccepted(Failure):
    """The target did not accept the sample; the text names the answer."""

    exit_code = ExitCode.FAULT


class NotSent(Failure):
    """The sample could not be sent; the text says why."""


@click.group()
def webhook() -> None:
    """Try a webhook's target."""


@webhook.command("test", short_help="Send one signed, made-up message to a URL.")
@click.argument("url")
@click.option(
    "--secrets-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    envvar="WEBHOOK_SECRETS_FILE",
    show_envvar=True,
    help="The file with the target's secret.",
)
@click.option(
    "--allow",
    "networks",
    multiple=True,
    metavar="CIDR",
    help="A network that is not public and that the target may be in, as in WEBHOOK_ALLOW_CIDRS."
    " May be repeated.",
)
@click.option("--timeout", "timeout_s", default=10.0, help="Seconds to wait for the answer.")
def webhook_test(
    *, url: str, secrets_file: Path, networks: tuple[str, ...], timeout_s: float
) -> None:
    """Send one made-up message to URL, signed as a webhook does it, and print the answer."""
    if not is_url(url):
        raise click.BadParameter(
            f"{public_url(url)!r} is not an http or https URL", param_hint="URL"
        )
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--allow") from error
    settings = WebhookSettings(
        name="test",
        url=url,
        secrets_file=secrets_file,
        allow_cidrs=networks,
        timeout_s=timeout_s,
    )
    attempt = Attempt()
    began_at = time.monotonic()
    try:
        answer = run(_answer(settings, attempt))
    except UnusableFile as unusable:
        raise NotSent(str(unusable)) from unusable
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise NotSent(f"{public_url(url)}: {in_words(error, attempt, '--timeout')}") from error
    outcome = answer.outcome()
    took_ms = 1000 * (time.monotonic() - began_at)
    echo(f"{public_url(url)} answered {answer.status} after {took_ms:.0f} ms")
    if answer.excerpt:
        echo(answer.excerpt)
    if outcome.kind is not OutcomeKind.DELIVERED:
        raise NotAccepted(f"with the answer {answer.status}, {THEN[outcome.kind]}")
    echo(f"with this answer, {THEN[outcome.kind]}")


async def _answer(settings: WebhookSettings, attempt: Attempt) -> TargetAnswer:
    async with open_sender(settings) as sender:
        return await sender.post(sample(), attempt)


def sample() -> Record:
    """Return the record of a made-up message; each has another id."""
    at_ms = now_ms()
    body = {
        "CallbackCommand": "C2C.CallbackAfterSendMsg",
        "From_Account": "hookline-test",
        "To_Account": "hookline-test-recipient",
        "MsgKey": f"test_{at_ms}",
        "MsgTime": at_ms // 1000,
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "A test of the webhook"}}],
    }
    record = main_topic_record(
        ReceivedCallback(
            sdkappid="1400000001",
            url_command="",
            client_ip="192.0.2.1",
            opt_platform="Web",
            received_at_ms=at_ms,
            body=orjson.dumps(body),
        )
    )
    headers = tuple(with_place_and_id(record.headers, SAMPLE_ORIGIN, 1))
    return Record(0, at_ms, record.key, record.value, headers)
