"""Run an S3 API server (moto) as a separate process, which tests may freeze or kill."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import boto3
from support.python_path import PYTHON_PATH

from ops.demo.embedded import child

BUCKET = "hookline-test"
REGION = "us-east-1"
# This path returns the number of list requests so far.
LISTS = "/lists"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
}

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class S3Server:
    """An S3 server on the loopback interface, with its buckets in memory."""

    def __init__(self, directory: Path, script: str = __file__) -> None:
        self._script = script
        self.port = child.free_port()
        self.log = directory / "s3.log"
        self.url = f"http://127.0.0.1:{self.port}"
        self._session = boto3.Session()
        # The keys of a user with all permissions. Until a user exists, the server accepts any keys.
        self.keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server with an empty bucket; return when it answers."""
        child.until_up(self._launch, lambda: child.listens(self.port), log=self.log)
        self.keys = self._make_keys()
        self.make_bucket(BUCKET)

    def make_bucket(self, name: str) -> None:
        """Create a bucket."""
        self.client("s3").create_bucket(Bucket=name)

    def _launch(self) -> subprocess.Popen[bytes]:
        self._process = child.start(
            [sys.executable, self._script, str(self.port)],
            log=self.log,
            env=os.environ | {"PYTHONPATH": PYTHON_PATH},
        )
        return self._process

    def kill(self) -> None:
        """End the server."""
        if self._process:
            child.kill(self._process)

    def freeze(self) -> None:
        """Suspend the server; its connections stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the server continue."""
        self._signal(signal.SIGCONT)

    def lists(self) -> int:
        """Return the number of list requests so far."""
        with urllib.request.urlopen(f"{self.url}{LISTS}") as answer:  # noqa: S310 - our own
            return int(answer.read())

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Return all objects whose keys begin with `prefix`."""
        return {key: self.content(key) for key in self.keys_of() if key.startswith(prefix)}

    def keys_of(self, bucket: str = BUCKET) -> list[str]:
        """Return the keys of all objects."""
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def content(self, key: str, bucket: str = BUCKET) -> bytes:
        """Return an object."""
        body: bytes = self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def empty(self) -> None:
        """Delete all objects."""
        client = self.client("s3")
        for key in self.keys_of():
            client.delete_object(Bucket=BUCKET, Key=key)

    def env(self, url: str = "") -> dict[str, str]:
        """Return the environment variables of a client, with `url` if there is a proxy."""
        return {"AWS_ENDPOINT_URL": url or self.url, "AWS_REGION": REGION, **self.keys}

    def _make_keys(self) -> dict[str, str]:
        """Create a user; from now on the server refuses requests that its keys did not sign."""
        iam = self.client("iam")
        iam.create_user(UserName="hookline")
        iam.put_user_policy(UserName="hookline", PolicyName="s3", PolicyDocument=json.dumps(POLICY))
        made = iam.create_access_key(UserName="hookline")["AccessKey"]
        asked = urllib.request.Request(  # noqa: S310 - our own
            f"{self.url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(asked).close()  # noqa: S310
        return {
            "AWS_ACCESS_KEY_ID": made["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"],
        }

    def client(self, service: str) -> Any:
        """Return a boto3 client, which does not use the product."""
        return self._session.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.keys["AWS_SECRET_ACCESS_KEY"],
        )

    def _signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)


def running_s3(directory: Path) -> contextlib.AbstractContextManager[S3Server]:
    """Run a server in `directory` during the block."""
    return child.running(S3Server(directory))


class OneAtATime:
    """
    A WSGI application that handles one request at a time, once the request's body has arrived.

    S3 evaluates `If-None-Match: *` and writes in one step. moto first looks and then writes, so
    two of its threads could both find no object.
    """

    def __init__(self, app: Wsgi) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """Answer a request."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        with self._lock:
            return list(self._app(environ, start_response))


def _counting(app: Wsgi) -> Wsgi:
    """Return an application that counts the list requests to `app`."""
    lists = 0

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        nonlocal lists
        if environ["PATH_INFO"] == LISTS:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(lists).encode()]
        lists += "list-type=2" in environ.get("QUERY_STRING", "")
        return app(environ, start_response)

    return answer


def serve(port: int) -> None:
    """Serve requests until killed."""
    # Imported here, because that takes a second, and only the server's own process needs it.
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import run_simple  # noqa: PLC0415

    os.environ["MOTO_PORT"] = str(port)
    app = OneAtATime(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", port, _counting(app), threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
