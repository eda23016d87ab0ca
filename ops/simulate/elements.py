"""Made-up message elements: text, image, face, custom data, sound, location and file."""

import random
from typing import Any

WORDS = "red packet see you at the station 好的 收到 👍 did you eat yet on my way ¿qué tal?".split()  # noqa: SIM905 - a sentence reads better
LARGE_TEXT_SHARE = 0.01


def elements(chance: random.Random) -> list[dict[str, Any]]:
    """Return one to three elements of a message's body."""
    makers = (_text, _text, _text, _text, _image, _face, _custom, _sound, _location, _file)
    return [chance.choice(makers)(chance) for _ in range(chance.choice((1, 1, 1, 1, 2, 3)))]


def _element(kind: str, **content: object) -> dict[str, Any]:
    return {"MsgType": kind, "MsgContent": content}


def _text(chance: random.Random) -> dict[str, Any]:
    words = 2000 if chance.random() < LARGE_TEXT_SHARE else chance.randint(1, 12)
    return _element("TIMTextElem", Text=" ".join(chance.choices(WORDS, k=words)))


def _image(chance: random.Random) -> dict[str, Any]:
    sizes = [
        {
            "Type": kind,
            "Size": chance.randrange(1 << 20),
            "Width": 0,
            "Height": 0,
            "URL": _url(chance),
        }
        for kind in (1, 2, 3)
    ]
    return _element("TIMImageElem", UUID=_uuid(chance), ImageFormat=1, ImageInfoArray=sizes)


def _face(chance: random.Random) -> dict[str, Any]:
    return _element("TIMFaceElem", Index=chance.randrange(99), Data="face\u0000\u0001")


def _custom(chance: random.Random) -> dict[str, Any]:
    data = f'{{\n  "userAction" : {chance.randrange(9)}\n}}'
    return _element("TIMCustomElem", Data=data, Desc="", Ext="", Sound="")


def _sound(chance: random.Random) -> dict[str, Any]:
    seconds = chance.randint(1, 60)
    return _element(
        "TIMSoundElem", Url=_url(chance), UUID=_uuid(chance), Size=seconds * 1000, Second=seconds
    )


def _location(chance: random.Random) -> dict[str, Any]:
    return _element(
        "TIMLocationElem",
        Desc="the station",
        Latitude=round(chance.uniform(-90, 90), 6),
        Longitude=round(chance.uniform(-180, 180), 6),
    )


def _file(chance: random.Random) -> dict[str, Any]:
    return _element(
        "TIMFileElem", Url=_url(chance), UUID=_uuid(chance), FileSize=4096, FileName="notes.txt"
    )


def _url(chance: random.Random) -> str:
    return f"https://example.invalid/{chance.getrandbits(64):016x}"


def _uuid(chance: random.Random) -> str:
    return f"{chance.getrandbits(128):032X}"
