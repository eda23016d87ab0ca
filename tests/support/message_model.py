"""
The columns of a message that PostgreSQL should have, computed plainly from its body.

Nothing of the product is used: only the parser of the standard library and the documented rules.
"""

import hashlib
import json
from typing import Any

READ = {
    "TIMLocationElem": ["Desc"],
    "TIMFaceElem": [],
    "TIMCustomElem": ["Desc"],
    "TIMFileElem": ["FileName"],
    "TIMRelayElem": ["Title", "AbstractList"],
}


def expected(body: bytes) -> dict[str, Any]:
    """Return the columns of a message with this body."""
    document = json.loads(body.decode("utf-8-sig"), parse_int=_integer)
    elements = document.get("MsgBody")
    elements = [e for e in elements if isinstance(e, dict)] if isinstance(elements, list) else []
    kinds = [e.get("MsgType") for e in elements]
    return {
        "topic_id": name(document.get("TopicId")),
        "message_id": name(document.get("MsgId")),
        "online_only": whole(document.get("OnlineOnlyFlag")) == 1,
        "delivered": whole(document.get("SendMsgResult")) in (None, 0),
        "element_types": list(dict.fromkeys(filter(None, map(kind, kinds))))[:20],
        "text": words(elements),
    }


def words(elements: list[dict[str, Any]]) -> str | None:
    """Return the words that a person reads in these elements."""
    lines: list[Any] = []
    for element in elements:
        content, of_type = element.get("MsgContent"), element.get("MsgType")
        if isinstance(content, dict):
            fields = READ.get(of_type, ["Text"]) if isinstance(of_type, str) else ["Text"]
            for field in fields:
                value = content.get(field)
                lines += value if isinstance(value, list) else [value]
    joined = "\n".join(line for line in lines if isinstance(line, str) and line)
    return "".join("\ufffd" if refused(each) else each for each in joined[:65536]) or None


def account(value: Any) -> str | None:
    """Return an account as its column has it."""
    escaped = plain(value).replace("\0", "\\u0000")
    encoded = escaped.encode()
    if len(encoded) > 512:
        return f"sha256:{hashlib.sha256(encoded).hexdigest()}"
    return escaped or None


def name(value: Any) -> str | None:
    """Return an id as its column has it."""
    text = plain(value)
    return text.replace("\0", "\\u0000") if 0 < len(text) <= 128 else None


def kind(value: Any) -> str | None:
    """Return an element's type as its column has it."""
    return name(value) if isinstance(value, str) else None


def plain(value: Any) -> str:
    """Return text and integers as text, with lone surrogates escaped."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return "".join(
        f"\\u{ord(each):04x}" if "\ud800" <= each <= "\udfff" else each for each in str(value)
    )


def refused(character: str) -> bool:
    """Return whether PostgreSQL cannot hold a character."""
    return character == "\0" or "\ud800" <= character <= "\udfff"


def whole(value: Any) -> int | None:
    """Return an integer, or its decimal text, of at most 18 digits."""
    digits = plain(value)
    number = digits[1:] if digits[:1] == "-" else digits
    if 0 < len(number) <= 18 and all(each in "0123456789" for each in number):
        return int(digits)
    return None


def _integer(digits: str) -> int | float:
    if len(digits) <= 20 and -(2**63) <= int(digits) < 2**64:
        return int(digits)
    return float(digits)
