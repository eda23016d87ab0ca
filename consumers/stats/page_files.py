"""
Serve the statistics page: `/`, its files, and the runbook to which it links.

All files are read once. The address of each has the hash of all, so a browser keeps them for ever
and never mixes files of two versions; `/` itself is asked for again each time.
"""

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

from aiohttp import web

PAGE = Path(__file__).with_name("page")
SUFFIXES = {".html", ".css", ".js", ".svg", ".txt"}
# The page runs only its own files: no script or style in the document, nothing of another host.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# The files of docs/ to which pages link, by their paths.
DOCUMENTS = {"/runbook": "runbook", "/contract/text": "contract"}
ONE_YEAR = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file as it is sent."""

    content: bytes
    gzipped: bytes
    kind: str
    etag: str

    @classmethod
    def of(cls, content: bytes, name: str) -> "File":
        """Return the file with its type by its name."""
        return cls(
            content=content,
            gzipped=gzip.compress(content, mtime=0),
            kind=mimetypes.guess_type(name)[0] or "text/plain",
            etag=hashlib.sha256(content).hexdigest()[:16],
        )

    def answer(self, request: web.Request, cache: str, vary: str = "") -> web.Response:
        """Return the content, or 304 if the browser has it; `vary`: it depends on this header."""
        headers = HEADERS | {
            "Cache-Control": cache,
            "ETag": f'"{self.etag}"',
            "Vary": f"Accept-Encoding, {vary}" if vary else "Accept-Encoding",
        }
        if any(tag.value == self.etag for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        body = self.content
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = self.gzipped
        return web.Response(body=body, content_type=self.kind, charset="utf-8", headers=headers)


def page_files(folder: Path = PAGE) -> tuple[str, dict[str, File]]:
    """Return the version and the files of the page by name; those that npm brings may be absent."""
    contents = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in SUFFIXES and path.is_file()
    }
    version = hashlib.sha256(repr(sorted(contents.items())).encode()).hexdigest()[:12]
    own = [name for name in contents if name.endswith(".js") and "/" not in name]
    preloads = "\n".join(f'<link rel="modulepreload" href="page/{version}/{name}">' for name in own)
    index = contents["index.html"].decode()
    index = index.replace("{preloads}", preloads).replace("{version}", version)
    contents["index.html"] = index.encode()
    return version, {name: File.of(content, name) for name, content in contents.items()}


def add_page(app: web.Application) -> str:
    """Add the routes of the page, which need no token: they show no counts. Return its version."""
    version, files = page_files()
    documents = {
        path: File.of(document_page(name).encode(), f"{name}.html")
        for path, name in DOCUMENTS.items()
    }

    async def index(request: web.Request) -> web.Response:
        return files["index.html"].answer(request, "no-cache")

    async def file(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if request.match_info["version"] != version or name not in files:
            raise web.HTTPNotFound
        return files[name].answer(request, ONE_YEAR)

    async def document(request: web.Request) -> web.Response:
        return documents[request.path].answer(request, "no-cache")

    app.add_routes(
        [
            web.get("/", index),
            web.get("/page/{version}/{name:[a-zA-Z0-9./-]+}", file),
            *(web.get(path, document) for path in DOCUMENTS),
        ]
    )
    return version


def document_page(name: str) -> str:
    """Return a file of docs/ as a plain document whose headings have the anchors of GitHub."""
    packaged = Path(__file__).with_name(f"{name}.md")
    path = packaged if packaged.exists() else Path(__file__).parents[2] / "docs" / f"{name}.md"
    text = path.read_text() if path.exists() else f"# Not here\n\nSee docs/{name}.md.\n"
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>Hookline: {name}</title>"]
    for block in re.split(r"^(?=#+ )", text, flags=re.MULTILINE):
        heading, _, rest = block.partition("\n")
        title = heading.lstrip("#").strip()
        anchor = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        level = min(len(heading) - len(heading.lstrip("#")), 6) or 1
        parts.append(f'<h{level} id="{escape(anchor)}">{escape(title)}</h{level}>')
        parts.append(f"<pre>{escape(rest.strip())}</pre>")
    return "\n".join(parts)
