"""
Make the page `/contract` out of the documents: a table of each schema, and links to the files.

It needs no script: language and theme are in the address, and its links keep them.
"""

import re
from collections.abc import Iterator, Mapping
from html import escape
from itertools import groupby
from typing import Any

from consumers.stats.contract_words import LANGUAGES, say
from schemas.contract import objects
from schemas.contract.documents import ASYNCAPI
from schemas.contract.tables import Described

THEMES = ("", "light", "dark")
DAY_MS = 24 * 3600 * 1000
_ROWS: Mapping[str, Mapping[str, Described]] = {
    "RecordHeaders": objects.RECORD_HEADERS,
    "DeadLetterHeaders": objects.DEAD_LETTER_HEADERS,
    "DeadLetterAction": objects.DEAD_LETTER_ACTION,
    "ArchiveLine": objects.ARCHIVE_LINE,
    "ArchiveSummary": objects.ARCHIVE_SUMMARY,
}
SECTIONS = (
    *("topics", "RecordHeaders", "Callback", "commands", "elements"),
    *("DeadLetterHeaders", "DeadLetterAction", "ArchiveLine", "ArchiveSummary"),
)


def contract_page(
    documents: Mapping[str, Mapping[str, Any]], language: str, theme: str, version: str
) -> str:
    """Return the page; `version` is that of the page's files, `theme` "" is the reader's."""
    document = documents[ASYNCAPI]
    schemas = {name: each["schema"] for name, each in document["components"]["schemas"].items()}
    tables = {name: _table(schemas[name], rows, language) for name, rows in _ROWS.items()}
    contents = {
        **tables,
        "topics": _topics(document, language),
        "Callback": _paragraph(language, "value"),
        "commands": _commands(document, schemas, language),
        "elements": _paragraph(language, "element") + _elements(schemas, language),
        "DeadLetterHeaders": _paragraph(language, "letter") + tables["DeadLetterHeaders"],
    }
    sections = "\n".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{say(language, name)}</h2>'
        f"{contents[name]}</section>"
        for name in SECTIONS
    )
    links = "".join(f'<li><a href="#{name}">{say(language, name)}</a></li>' for name in SECTIONS)
    return f"""{_head(language, theme, version)}
<body class="contract">
{_bar(language, theme)}
<nav aria-label="{say(language, "contents")}"><ul>{links}</ul></nav>
<main>
{_introduction(documents, language, theme)}
{sections}
</main>
</body>
</html>
"""


def _head(language: str, theme: str, version: str) -> str:
    chosen = f' data-theme="{theme}"' if theme else ""
    return f"""<!doctype html>
<html lang="{"zh-CN" if language == "zh" else "en"}"{chosen}>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Hookline: {say(language, "title")}</title>
<link rel="icon" href="page/{version}/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="page/{version}/page.css">
<link rel="stylesheet" href="page/{version}/contract.css">
</head>"""


def _address(language: str, theme: str) -> str:
    return f"?lang={language}" + (f"&amp;theme={theme}" if theme else "")


def _bar(language: str, theme: str) -> str:
    names = {"en": ("EN", "en"), "zh": ("中文", "zh-CN")}
    languages = "".join(
        f'<a href="{_address(each, theme)}" lang="{names[each][1]}"{_current(each == language)}>'
        f"{names[each][0]}</a>"
        for each in reversed(LANGUAGES)
    )
    themes = "".join(
        f'<a href="{_address(language, each)}"{_current(each == theme)}>'
        f"{say(language, each or 'auto')}</a>"
        for each in THEMES
    )
    return f"""<header class="bar">
<p class="site"><a href="./{_address(language, theme)}">Hookline</a></p>
<p><a href="./{_address(language, theme)}">{say(language, "statistics")}</a></p>
<div class="looks">
<div class="choice" role="group" aria-label="{say(language, "language")}">{languages}</div>
<div class="choice" role="group" aria-label="{say(language, "theme")}">{themes}</div>
</div>
</header>"""


def _current(is_current: bool) -> str:  # noqa: FBT001 - one word says it
    return ' aria-current="true"' if is_current else ""


def _introduction(documents: Mapping[str, Mapping[str, Any]], language: str, theme: str) -> str:
    version = say(language, "version", version=documents[ASYNCAPI]["info"]["version"])
    files = ", ".join(f'<a href="contract/{name}">{name}</a>' for name in documents)
    return f"""<h1>{say(language, "title")} <small>{version}</small></h1>
<p>{say(language, "lead")}</p>
<p><a href="contract/text{_address(language, theme)}">{say(language, "prose")}</a></p>
<p>{say(language, "open")}</p>
<p>{say(language, "programs")}: <span class="files">{files}</span></p>"""


def _paragraph(language: str, word: str) -> str:
    return f"<p>{_with_code(say(language, word))}</p>"


def _with_code(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _topics(document: Mapping[str, Any], language: str) -> str:
    rows = []
    for name, channel in document["channels"].items():
        kafka = channel["bindings"]["kafka"]
        days = kafka["topicConfiguration"]["retention.ms"] // DAY_MS
        rows.append(
            f'<tr><th scope="row"><code>{channel["address"]}</code></th>'
            f"<td>{_with_code(say(language, name))}{_deprecation(channel, language)}</td>"
            f"<td>{kafka['partitions']}</td>"
            f"<td>{say(language, 'days', days=days)}</td></tr>"
        )
    return _with_head(rows, language, "topic", "records", "partitions", "retention")


def _commands(
    document: Mapping[str, Any], schemas: Mapping[str, Mapping[str, Any]], language: str
) -> str:
    messages = document["components"]["messages"]
    named = [name for name in messages if "x-identity" in messages[name]]
    parts = []
    for family, names in groupby(named, lambda name: name.partition(".")[0]):
        parts.append(f"<h3>{family}</h3>")
        for name in names:
            rules = "".join(
                _paragraph(language, messages[name][rule]) for rule in ("x-identity", "x-order")
            )
            table = _table(schemas[name], objects.CALLBACK_FIELDS, language)
            parts.append(_details(name, rules + table))
    return "\n".join(parts)


def _elements(schemas: Mapping[str, Mapping[str, Any]], language: str) -> str:
    return "\n".join(
        _details(
            kind,
            _table(schemas[kind]["properties"]["MsgContent"], objects.ELEMENT_FIELDS, language),
        )
        for kind in objects.ELEMENTS
    )


def _details(name: str, inner: str) -> str:
    # A link to the inner part opens it.
    return (
        f'<details><summary><code>{name}</code></summary><div id="{name}">{inner}</div></details>'
    )


def _table(schema: Mapping[str, Any], rows: Mapping[str, Described], language: str) -> str:
    lines = []
    for name, path, field, is_always in _flat(schema):
        row = rows[name]
        meaning = row.chinese if language == "zh" else row.meaning
        lines.append(
            f'<tr><th scope="row"><code>{escape(path)}</code></th><td>{_type(field)}</td>'
            f"<td>{say(language, 'always' if is_always else 'optional')}</td>"
            f"<td>{_with_code(meaning)}{_deprecation(field, language)}</td></tr>"
        )
    return _with_head(lines, language, "name", "type", "presence", "meaning")


def _deprecation(marked: Mapping[str, Any], language: str) -> str:
    """Return since when a field or a topic is deprecated, and its replacement; "" if it is not."""
    mark = marked.get("x-deprecated")
    if mark is None:
        return ""
    return f" <strong>{_with_code(say(language, 'deprecated', **mark))}</strong>"


def _flat(
    schema: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, Mapping[str, Any], bool]]:
    """Yield name, path and schema of each field and of those within, and if they are always."""
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        inner, mark = field, ""
        if field.get("type") == "array":
            inner, mark = field.get("items", {}), "[]"
        nested = "properties" in inner
        yield name, f"{prefix}{name}{mark if nested else ''}", field, name in required
        if nested:
            yield from _flat(inner, f"{prefix}{name}{mark}.")


def _type(schema: Mapping[str, Any]) -> str:
    """Return the type of a field as readers of JSON Schema know it."""
    if "$ref" in schema:
        return '<a href="#elements">element</a>'
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return " | ".join(f"<code>{escape(str(each))}</code>" for each in values)
    if "prefixItems" in schema:
        return f"[{', '.join(map(_type, schema['prefixItems']))}]"
    if schema.get("type") == "array":
        inner = _type(schema.get("items", {}))
        return f"({inner})[]" if "|" in inner else f"{inner}[]"
    kinds = schema.get("type", "any")
    return (kinds if isinstance(kinds, str) else " | ".join(kinds)) + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    if "maximum" in schema:
        return f" {schema['minimum']} … {schema['maximum']}"
    return f" <code>{escape(schema['pattern'])}</code>" if "pattern" in schema else ""


def _with_head(rows: list[str], language: str, *words: str) -> str:
    head = "".join(f'<th scope="col">{say(language, word)}</th>' for word in words)
    kind = "fields" if words[0] == "name" else "topics"
    body = "".join(rows)
    return f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
