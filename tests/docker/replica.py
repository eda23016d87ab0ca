"""
Replace a replica of the ingress, and fail on demand: /?id=ID&fault=dies|is-mute|is-full.

Only the first replica that sees the id fails, which the replicas know from a shared volume. With
`everywhere=1` all of them fail.
"""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

SHARED = Path("/var/lib/hookline/spool")
ME = socket.gethostname()


class Server(ThreadingHTTPServer):
    """A server that lets as many connections wait as the ingress does."""

    request_queue_size = 1024


class Callback(BaseHTTPRequestHandler):
    """The public port."""

    protocol_version = "HTTP/1.1"
    # Buffer an answer, so that it is sent in one packet.
    wbufsize = -1

    def do_POST(self) -> None:
        """Answer with this host, the body's size and the host that failed before, or fail."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = dict(parse_qsl(urlsplit(self.path).query))
        failed = _first_of(asked["id"]) if "fault" in asked else ""
        if failed == ME or "everywhere" in asked:
            self._fail(asked["fault"])
        else:
            addresses = self.headers.get_all("X-Forwarded-For")
            self._answer(
                200,
                {
                    "ActionStatus": "OK",
                    "by": ME,
                    "bytes": len(body),
                    "after": failed,
                    "forwarded_for": addresses,
                },
            )

    def _fail(self, fault: str) -> None:
        self.close_connection = fault != "is-full"
        if fault == "is-full":
            self._answer(503, {"ActionStatus": "FAIL", "ErrorInfo": "full", "ErrorCode": 1})
        elif fault == "is-mute":
            time.sleep(10)

    def _answer(self, status: int, answer: dict[str, object]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object, **__: object) -> None:
        """Log nothing."""


class Health(BaseHTTPRequestHandler):
    """The admin port."""

    def do_GET(self) -> None:
        """Answer ready, unless a file in the shared volume makes all replicas unready."""
        self.send_response(503 if (SHARED / "unready").exists() else 200)
        self.end_headers()

    def log_message(self, *_: object, **__: object) -> None:
        """Log nothing."""


def _first_of(identity: str) -> str:
    seen = SHARED / identity
    try:
        with seen.open("x") as mark:
            mark.write(ME)
    except FileExistsError:
        return seen.read_text()
    return ME


if __name__ == "__main__":
    threading.Thread(target=Server(("", 8081), Health).serve_forever, daemon=True).start()
    Server(("", 8080), Callback).serve_forever()
