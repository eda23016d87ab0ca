"""Serve the contract: the page `/contract`, and its documents for programs below it."""

from functools import cache

import msgspec
from aiohttp import web

from consumers.stats.contract_page import THEMES, contract_page
from consumers.stats.page_files import File
from schemas.contract.documents import documents


def add_contract(app: web.Application, version: str) -> None:
    """Add the routes of the contract, which need no token; `version` is that of `add_page`."""
    contents = documents()
    files = {name: File.of(msgspec.json.encode(each), name) for name, each in contents.items()}

    @cache
    def in_language(language: str, theme: str) -> File:
        return File.of(contract_page(contents, language, theme, version).encode(), "contract.html")

    async def page(request: web.Request) -> web.Response:
        theme = request.query.get("theme", "")
        file = in_language(language_of(request), theme if theme in THEMES else "")
        return file.answer(request, "no-cache", vary="Accept-Language")

    async def document_file(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in files:
            raise web.HTTPNotFound
        return files[name].answer(request, "no-cache")

    app.add_routes(
        [web.get("/contract", page), web.get("/contract/{name:[a-zA-Z.]+json}", document_file)]
    )


def language_of(request: web.Request) -> str:
    """Return the language in the address, else the first one that the browser asks for."""
    asked = request.query.get("lang", request.headers.get("Accept-Language", ""))
    return "zh" if asked.lower().startswith("zh") else "en"
