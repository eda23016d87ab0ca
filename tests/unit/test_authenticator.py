"""The check of a request's signature, and the change of tokens without a restart."""

import asyncio
import hashlib
import logging
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.authenticator import TOKENS_SHOWN_MAX, Authenticator, parse
from ingress.http import answers
from ingress.token import Token
from schemas import tokens_file
from schemas.tokens_file import TokensFile, UnusableFile

NOW_S = 1_669_872_112


def query(token: str, at_s: object = NOW_S, sdkappid: str = "1") -> dict[str, str]:
    """Return a signed URL's parameters."""
    sign = hashlib.sha256(f"{token}{at_s}".encode()).hexdigest()
    return {"SdkAppid": sdkappid, "Sign": sign, "RequestTime": str(at_s)}


def an_authenticator(tmp_path: Path, content: str) -> tuple[Authenticator, Path]:
    """Return an authenticator with a tokens file, for a Sign of the last 60 s."""
    file = tmp_path / "secrets.toml"
    file.write_text(content)
    return Authenticator(("7",), file, sign_window_s=60), file


def file_of(authenticator: Authenticator) -> TokensFile:
    """Return the file that the authenticator uses."""
    assert authenticator.file is not None
    return authenticator.file


async def reread(authenticator: Authenticator) -> None:
    """Have the authenticator read its file again."""
    await file_of(authenticator).reread()


def test_the_vendors_test_vector_holds(tmp_path: Path) -> None:
    """The vector is from the vendor's documentation."""
    authenticator, _ = an_authenticator(tmp_path, '1 = ["xxxxyyyy"]')
    vector = {
        "SdkAppid": "1",
        "RequestTime": "1669872112",
        "Sign": "17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061",
    }
    assert authenticator.check_and_count_use(vector, NOW_S) is None
    assert (
        authenticator.check_and_count_use(vector | {"Sign": vector["Sign"].upper()}, NOW_S) is None
    )
    assert authenticator.check_and_count_use(vector, NOW_S + 61) is answers.STALE


def test_each_app_has_tokens_of_its_own(tmp_path: Path) -> None:
    """The token of one app does not sign for another; an app without tokens needs no Sign."""
    authenticator, _ = an_authenticator(tmp_path, '1 = ["a", "b"]\n2 = ["c"]\n3 = []')
    assert authenticator.check_and_count_use(query("a"), NOW_S) is None
    assert authenticator.check_and_count_use(query("b"), NOW_S) is None
    assert authenticator.check_and_count_use(query("c"), NOW_S) is answers.WRONG_SIGN
    assert authenticator.check_and_count_use(query("c", sdkappid="2"), NOW_S) is None
    assert authenticator.check_and_count_use({"SdkAppid": "3"}, NOW_S) is None
    assert authenticator.check_and_count_use({"SdkAppid": "7"}, NOW_S) is None
    assert authenticator.check_and_count_use({"SdkAppid": "8"}, NOW_S) is answers.NOT_OURS


@pytest.mark.parametrize("at_s", ["", "x", "-1", "²", "1" * 5000, f" {NOW_S}", f"{NOW_S}.0"])
def test_an_invalid_time_is_refused_even_if_signed(tmp_path: Path, at_s: str) -> None:
    """The result is a refusal, never an exception."""
    authenticator, _ = an_authenticator(tmp_path, '1 = ["a"]')
    assert authenticator.check_and_count_use(query("a", at_s), NOW_S) in (
        answers.STALE,
        answers.UNSIGNED,
    )


@given(parameters=st.dictionaries(st.sampled_from(["SdkAppid", "Sign", "RequestTime"]), st.text()))
def test_any_parameters_without_a_valid_sign_are_refused(parameters: dict[str, str]) -> None:
    """The result is a refusal, never an exception."""
    authenticator = Authenticator((), None, sign_window_s=60)
    authenticator._tokens = {"1": (Token(b"a", 0.0),)}  # noqa: SLF001 - without a file
    assert authenticator.check_and_count_use(parameters | {"SdkAppid": "1"}, NOW_S) is not None


async def test_a_token_is_rotated_without_a_restart(tmp_path: Path) -> None:
    """The file may be rewritten, or replaced as orchestrators do."""
    authenticator, file = an_authenticator(tmp_path, '1 = ["old"]')
    other = tmp_path / "new"
    other.write_text('1 = ["new", "old"]\n2 = []')
    other.replace(file)
    await reread(authenticator)
    assert (
        authenticator.check_and_count_use(query("new"), NOW_S) is answers.WRONG_SIGN
    )  # it may be half-written
    await reread(authenticator)
    assert authenticator.check_and_count_use(query("new"), NOW_S) is None
    assert authenticator.check_and_count_use(query("old"), NOW_S) is None
    file.write_text('1 = ["new"]')
    await reread(authenticator)
    await reread(authenticator)
    assert authenticator.check_and_count_use(query("old"), NOW_S) is answers.WRONG_SIGN
    assert authenticator.check_and_count_use({"SdkAppid": "2"}, NOW_S) is answers.NOT_OURS


async def test_a_file_that_becomes_unusable_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The tokens read before stay valid; the fault is logged once and shows no token."""
    authenticator, file = an_authenticator(tmp_path, '1 = ["sesame"]')
    for content in ('1 = ["sesame", "hidden', "1 = 5"):
        file.write_text(content)
        for _ in range(3):
            await reread(authenticator)
        assert authenticator.fault
        assert authenticator.check_and_count_use(query("sesame"), NOW_S) is None
    file.unlink()
    await reread(authenticator)
    assert "cannot be read" in authenticator.fault
    assert len([r for r in caplog.records if r.levelname == "ERROR"]) == 3
    assert "sesame" not in caplog.text
    assert "hidden" not in caplog.text
    file.write_text('1 = ["sesame"]')
    await reread(authenticator)
    await reread(authenticator)
    assert authenticator.fault == ""


async def test_a_file_without_an_apps_former_tokens_does_not_let_everybody_in(
    tmp_path: Path,
) -> None:
    """A file is more often empty by a full disk than by intent; `= []` states the intent."""
    file = tmp_path / "secrets.toml"
    file.write_text('1 = ["a"]')
    authenticator = Authenticator(("1",), file, sign_window_s=60)
    file.write_text("")
    for _ in range(2):
        await reread(authenticator)
    assert "no longer in the file" in authenticator.fault
    assert authenticator.check_and_count_use({"SdkAppid": "1"}, NOW_S) is answers.UNSIGNED
    file.write_text("1 = []")
    for _ in range(2):
        await reread(authenticator)
    assert (authenticator.fault, authenticator.check_and_count_use({"SdkAppid": "1"}, NOW_S)) == (
        "",
        None,
    )


async def test_an_app_is_added_and_removed_by_the_tokens_file_alone(tmp_path: Path) -> None:
    """Without a restart; an app of INGRESS_SDKAPPIDS, 7 here, is accepted in any case."""
    authenticator, file = an_authenticator(tmp_path, '7 = ["a"]')
    added = query("b", sdkappid="8")
    assert authenticator.check_and_count_use(added, NOW_S) is answers.NOT_OURS
    for content, answer in (('7 = ["a"]\n8 = ["b"]', None), ('7 = ["a"]', answers.NOT_OURS)):
        file.write_text(content)
        for _ in range(2):
            await reread(authenticator)
        assert authenticator.check_and_count_use(added, NOW_S) is answer
    assert authenticator.apps_without_token == []


async def test_an_app_without_a_token_is_named_by_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At the start and when the file changes, unless the file states the intent by `= []`."""
    file = tmp_path / "tokens.toml"
    file.write_text('1 = ["a"]\n3 = []')
    authenticator = Authenticator(("1", "2", "3"), file, sign_window_s=60)
    assert authenticator.check_and_count_use(query("any", sdkappid="2"), NOW_S) is None
    warned = "app 2 has no token: its callbacks are accepted from anyone; "
    assert [message.startswith(warned) for message in caplog.messages] == [True]
    assert authenticator.apps_without_token == ["2", "3"]
    assert authenticator.apps_not_in_tokens_file == ["2"]
    for content, count in (('1 = ["a", "b"]', 2), ('1 = ["b"]\n2 = ["c"]\n3 = ["d"]', 0)):
        caplog.clear()
        file.write_text(content)
        for _ in range(4):
            await reread(authenticator)
        warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
        assert len([one for one in warnings if "has no token" in one]) == count
    assert authenticator.apps_without_token == authenticator.apps_not_in_tokens_file == []


def test_without_a_tokens_file_all_apps_are_named_by_warnings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Docker compose begins so."""
    authenticator = Authenticator(("1", "2"), None, sign_window_s=60)
    assert [message[:22] for message in caplog.messages] == [
        "app 1 has no token: it",
        "app 2 has no token: it",
    ]
    assert authenticator.apps_without_token == ["1", "2"]
    assert authenticator.apps_not_in_tokens_file == []


async def test_the_file_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change is used soon, even if it keeps the file's size and time."""
    monkeypatch.setattr(tokens_file, "READ_INTERVAL_S", 0.01)
    authenticator, file = an_authenticator(tmp_path, '1 = ["old"]')
    before = file.stat()
    watching = asyncio.create_task(file_of(authenticator).watch())
    file.write_text('1 = ["new"]')
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    async with asyncio.timeout(180):
        while authenticator.check_and_count_use(query("new"), NOW_S):  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.01)
    watching.cancel()


@pytest.mark.parametrize(
    "content",
    ['x = ["a"]', '1 = "a"', '1 = ["", "a"]', "1 = [1]", '1 = ["a","b","c","d","e"]', "[1]\na=2"],
)
def test_a_file_with_one_wrong_line_is_unusable(content: str) -> None:
    """A partly valid file is never used."""
    with pytest.raises(UnusableFile):
        parse(content.encode(), "secrets.toml")


def test_bytes_that_are_not_toml_make_the_file_unusable() -> None:
    """The same is true of bytes that are not UTF-8."""
    for content in (b"\xff", b"1 = [", b"\x00"):
        with pytest.raises(UnusableFile):
            parse(content, "secrets.toml")


def test_the_example_is_a_file_of_tokens() -> None:
    """The file in deploy/secrets can be copied and filled in."""
    example = Path(__file__).parents[2] / "deploy" / "secrets" / "tokens.example.toml"
    assert set(parse(example.read_bytes(), "example")) == {"1400000001", "1400000002"}


@pytest.mark.parametrize("content", ["1 = " + 5000 * "[", "1 = " + 5000 * "7", "\ufeff1 = []"])
def test_a_content_that_the_parser_gives_up_is_unusable(content: str) -> None:
    """It has a text of its own, so the file is read again when it is corrected."""
    with pytest.raises(UnusableFile, match="the file"):
        parse(content.encode(), "the file")


async def test_no_exception_ends_the_watch_of_a_file(tmp_path: Path) -> None:
    """It is a fault of the file, without the exception's text, until the content is usable."""
    file = tmp_path / "tokens"
    file.write_text("good")

    def use(content: bytes) -> str:
        if content == b"bad":
            raise ZeroDivisionError("a token")
        return ""

    watched = TokensFile(file, use, bytes_max=100, log=logging.getLogger("test"))
    for content, fault in (("bad", f"{file} cannot be used: ZeroDivisionError"), ("fine", "")):
        file.write_text(content)
        await watched.reread()
        await watched.reread()
        assert watched.fault == fault


async def test_the_last_use_of_each_token_is_known_through_a_rotation(tmp_path: Path) -> None:
    """A refused request does not count as a use, and no token is shown."""
    authenticator, file = an_authenticator(tmp_path, '1 = ["old"]\n2 = ["x"]\n3 = []')
    assert authenticator.check_and_count_use(query("old"), NOW_S) is None
    file.write_text('2 = ["x"]\n1 = ["new", "old"]\n3 = []')
    for _ in range(2):
        await reread(authenticator)
    assert authenticator.check_and_count_use(query("old"), NOW_S + 1) is None
    assert authenticator.check_and_count_use(query("new", NOW_S), NOW_S + 2) is None
    assert authenticator.check_and_count_use(query("old"), NOW_S + 61) is answers.STALE
    assert authenticator.check_and_count_use(query("x"), NOW_S + 9) is answers.WRONG_SIGN
    rows = authenticator.token_uses(NOW_S + 10)
    keys = ("sdkappid", "place", "uses", "last_used_ago_s")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("1", 1, 1, 8.0),
        ("1", 2, 2, 9.0),
        ("2", 1, 0, None),
    ]
    assert rows[1]["last_used_at"] == "2022-12-01T05:21:53.000Z"
    # printf %s old | sha256sum | cut -c 1-8
    assert rows[1]["fingerprint"] == "cba06b57"
    file.write_text('1 = ["new"]\n2 = ["x"]\n3 = []')
    for _ in range(2):
        await reread(authenticator)
    assert [row["uses"] for row in authenticator.token_uses(NOW_S)] == [1, 0]


async def test_a_token_counts_as_unused_only_since_its_uses_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has just started, or read the token again, does not know the time before."""
    monkeypatch.setattr(time, "time", lambda: NOW_S - 100)
    authenticator, file = an_authenticator(tmp_path, '1 = ["new", "old"]')

    def unused_for_s() -> list[float]:
        return [row["unused_for_s"] for row in authenticator.token_uses(NOW_S + 10)]

    assert unused_for_s() == [110.0, 110.0]
    assert authenticator.check_and_count_use(query("old"), NOW_S) is None
    assert unused_for_s() == [110.0, 10.0]
    monkeypatch.setattr(time, "time", lambda: NOW_S + 9)
    for content in ('1 = ["new"]', '1 = ["new", "old"]'):
        file.write_text(content)
        for _ in range(2):
            await reread(authenticator)
    assert unused_for_s() == [110.0, 1.0]


def test_few_tokens_are_listed_and_unfinished_rotations_first(tmp_path: Path) -> None:
    """`/status` stays short with thousands of apps."""
    apps = "".join(f'{number} = ["t"]\n' for number in range(1, TOKENS_SHOWN_MAX + 100))
    authenticator, _ = an_authenticator(tmp_path, apps + '99999 = ["new", "old"]')
    rows = authenticator.token_uses(NOW_S)
    assert len(rows) == TOKENS_SHOWN_MAX
    assert [row["sdkappid"] for row in rows[:2]] == ["99999", "99999"]
