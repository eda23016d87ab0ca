"""The nginx of docs/operations.md, with its configuration in a folder and at ports of the test."""

import asyncio
import os
import shutil
import ssl
import subprocess
from pathlib import Path

from support.docs_blocks import the_block
from support.processes.ingress import Connection, listens, until

from ops.demo.embedded import child

# Debian has it where only root's PATH leads.
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
HOST = "callbacks.example.com"
# What the packages of nginx have around a file of /etc/nginx/conf.d.
AROUND = """
daemon off;
pid {folder}/pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {ours}
}}
"""


class Nginx:
    """nginx with the certificate of docs/start.md, in front of two replicas at `ports`."""

    def __init__(self, folder: Path, ports: tuple[int, int]) -> None:
        self.port = child.free_port()
        self._folder = folder
        folder.mkdir()
        ours = the_block("upstream hookline", "nginx")
        for theirs, here in (
            ("127.0.0.1:8080", f"127.0.0.1:{ports[0]}"),
            ("127.0.0.1:8090", f"127.0.0.1:{ports[1]}"),
            ("listen 443", f"listen 127.0.0.1:{self.port}"),
            ("/etc/nginx/hookline", str(folder)),
            ("/var/log/nginx", str(folder)),
        ):
            assert theirs in ours
            ours = ours.replace(theirs, here)
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder, ours=ours))
        subject = ("-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-days", "9")
        files = ("-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem")
        subprocess.run(
            [
                str(shutil.which("openssl")),
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                *subject,
                *files,
            ],
            check=True,
            capture_output=True,
        )
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start nginx; return when it accepts connections."""
        self._launch()
        await until(lambda: listens(self.port), "nginx listens")

    def _launch(self) -> None:
        command = [str(NGINX), "-p", str(self._folder), "-c", str(self._folder / "nginx.conf")]
        subprocess.run([*command, "-t"], check=True, capture_output=True)
        self._process = subprocess.Popen(command)

    def stop(self) -> None:
        """End nginx, if it was started."""
        if self._process:
            self._process.terminate()
            self._process.wait()

    async def connect(self, address: str = "127.0.0.1") -> Connection:
        """Connect by TLS from an address of this machine."""
        context = ssl.create_default_context(cafile=self._folder / "fullchain.pem")
        return Connection(
            *await asyncio.open_connection(
                "127.0.0.1",
                self.port,
                ssl=context,
                server_hostname=HOST,
                local_addr=(address, 0),
            )
        )

    def log(self) -> list[str]:
        """Return the lines of the access log."""
        return (self._folder / "hookline.log").read_text().splitlines()

    def logs(self) -> str:
        """Return all that nginx has logged."""
        return "".join(file.read_text() for file in sorted(self._folder.glob("*.log")))
