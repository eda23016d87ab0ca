"""From the receipt of a callback until the page shows it, with the whole system running."""

import json
import threading
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from support.page.browser import Show
from support.processes.blackbox import Demo, demo, until

RATE = 20
# Notes the time whenever the number of messages of today changes.
WATCH = """() => {
  window.seen = [];
  const value = document.querySelector("#messages .value");
  const note = () => window.seen.push([Date.now(), Number(value.textContent.replace(/\\D/g, ""))]);
  new MutationObserver(note).observe(value, {childList: true, subtree: true, characterData: true});
  note();
}"""


@pytest.mark.timeout(600)
def test_the_time_from_receipt_to_the_number_on_the_page(
    show: Show, scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """Every message is in the number of today; the summary prints how long that took."""
    with demo() as stack:
        send(stack, 0)
        until(lambda: bool(_apps(stack)), "the first message is counted")
        page = show(f"lang=en&tz={_zone()}", base=f"{stack.addresses['stats']}/")
        page.evaluate(WATCH)
        sent = [0.0]
        sender = threading.Thread(target=_send_all, args=[stack, scaled(20, at_most=60), sent])
        sender.start()
        while sender.is_alive():
            page.wait_for_timeout(200)
        page.wait_for_function("number => window.seen.at(-1)[1] === number", arg=len(sent))
        seen: list[tuple[float, int]] = page.evaluate("window.seen")
    # The n-th message is shown by the first number that is not below n.
    took_s = sorted(
        next(at for at, shown in seen if shown >= number) / 1000 - at_s
        for number, at_s in enumerate(sent[1:], start=2)
    )
    assert took_s[0] > 0
    p50, p99 = (took_s[len(took_s) * share // 100] for share in (50, 99))
    say(
        f"{len(took_s)} callbacks at {RATE}/s, from the request to the number on the page: "
        f"p50 {p50:.2f} s, p99 {p99:.2f} s, max {took_s[-1]:.2f} s"
    )


def send(stack: Demo, number: int) -> None:
    """Send a message, and return when it is answered OK."""
    now = int(time.time())
    query = {"SdkAppid": stack.addresses["sdkappid"], "CallbackCommand": "C2C.CallbackAfterSendMsg"}
    body = query | {
        "From_Account": f"user{number % 7}",
        "To_Account": f"user{number % 11}",
        "MsgKey": f"{number + 1}_{number + 1}_{now}",
        "MsgTime": now,
    }
    url = f"{stack.addresses['ingress']}?{urlencode(query)}"
    with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=180) as answer:  # noqa: S310 - our own URL
        assert json.loads(answer.read())["ActionStatus"] == "OK"


def _send_all(stack: Demo, seconds: int, sent: list[float]) -> None:
    begun = time.monotonic()
    for number in range(1, seconds * RATE + 1):
        time.sleep(max(0.0, begun + number / RATE - time.monotonic()))
        sent.append(time.time())
        send(stack, number)


def _apps(stack: Demo) -> list[object]:
    url = f"{stack.addresses['stats']}/v1/apps"
    with urllib.request.urlopen(url, timeout=180) as answer:  # noqa: S310 - our own URL
        return list(json.loads(answer.read())["apps"])


def _zone() -> str:
    """Return a zone in which the day does not end soon."""
    return "UTC" if 6 <= datetime.now(UTC).hour < 18 else "Pacific/Pago_Pago"
