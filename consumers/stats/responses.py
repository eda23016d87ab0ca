"""Write an answer in the form that was asked for, and tell browsers how long they may keep it."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from consumers.stats.csv_rows import CONTENT_TYPE as CSV
from consumers.stats.csv_rows import as_csv
from consumers.stats.routes import Route

JSON = "application/json"
# A body is compressed from this size on.
COMPRESSED_BYTES_MIN = 1024
VARY = "Accept, Accept-Encoding, Authorization, Origin"


def content_type(request: web.Request, route: Route, values: Mapping[str, Any]) -> str:
    """Return the form that was asked for: CSV, or else JSON."""
    return CSV if route.has_csv and _asks_for_csv(request, values) else JSON


def encoded(answer: Any, kind: str) -> bytes:
    """Return an answer as CSV or JSON."""
    return as_csv(answer).encode() if kind == CSV else msgspec.json.encode(answer) + b"\n"


def response(request: web.Request, route: Route, kind: str, body: bytes) -> web.StreamResponse:
    """Return an encoded answer of `route`, or 304 if the browser has the same."""
    headers = {
        "Cache-Control": f"private, max-age={route.max_age_s}"
        if route.max_age_s
        else "private, no-cache",
        "Vary": VARY,
        "X-Content-Type-Options": "nosniff",
    }
    tag = hashlib.sha256(body).hexdigest()[:32]
    headers["ETag"] = f'W/"{tag}"'
    if any(known.value == tag for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    web_response = web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)
    if len(body) >= COMPRESSED_BYTES_MIN:
        web_response.enable_compression()
    return web_response


def _asks_for_csv(request: web.Request, values: Mapping[str, Any]) -> bool:
    if "format" in values:
        return bool(values["format"] == "csv")
    accept = request.headers.get("Accept", "")
    return CSV in accept and JSON not in accept
