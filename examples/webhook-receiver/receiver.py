"""Print each callback of a webhook once, after its signature was verified."""

import base64
import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SECRET = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
seen: set[str] = set()  # yours belongs into your database, beside the effect

LOG = os.environ.get("LOG")  # a file to which each accepted request is added, for hookline audit


def is_signed(event: str, at: str, signatures: str, body: bytes) -> bool:
    """Return whether one of the signatures is ours, and at most 5 minutes old."""
    if not at.isdigit() or abs(time.time() - int(at)) > 300:
        return False
    digest = hmac.digest(SECRET, f"{event}.{at}.".encode() + body, "sha256")
    expected = b"v1," + base64.b64encode(digest)
    return any(hmac.compare_digest(expected, each.encode()) for each in signatures.split())


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 once a callback is handled, 401 if it is not signed."""

    def do_POST(self) -> None:
        """Verify the request before anything else is done with it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        event, at, signatures = (self.headers.get(name, "") for name in names)
        signed = is_signed(event, at, signatures, body)
        if signed and event not in seen:
            seen.add(event)
            print(self.headers["ce-type"], event, flush=True)  # noqa: T201
        if signed and LOG:
            origin, sequence = self.headers["ce-origin"], int(self.headers["ce-sequence"])
            digest = hashlib.sha256(body).hexdigest()
            line = {"id": event, "origin": origin, "sequence": sequence, "sha256": digest}
            with Path(LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
        self.send_response(204 if signed else 401)
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()
