"""No log line, error or status shows the user, password, query or fragment of a URL."""

import contextlib
import json
import logging
import re
from collections.abc import Iterator

import click
import pytest
from aiohttp import ClientResponseError, RequestInfo
from hypothesis import assume, given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from consumers.archive.store import open_store
from consumers.archive.store_errors import CannotOpenStore
from consumers.webhook.outcome import Connection
from consumers.webhook.sender import Attempt, in_words
from ops.cli import SUBCOMMANDS, _show, main
from ops.configuration import CLASSES
from schemas.log_lines import JsonLines, TextLines
from schemas.setting import Setting
from schemas.settings import SettingsFaults, read_settings, settings_as_json, settings_of
from schemas.url_text import public_url, without_url_secrets

SECRET = "S3cr3t"  # noqa: S105 - an example
# A URL of each kind that a setting has, and some that are wrong: their passwords are not encoded.
URLS = [
    f"https://crm.example.com/hook?token={SECRET}&b=1#{SECRET}",
    f"https://{SECRET}:{SECRET}@crm.example.com:8443/hook",
    f"https://{SECRET}@crm.example.com/hook",
    f"postgresql://hookline:{SECRET}@h1:5432,h2:5432/db?sslpassword={SECRET}",
    f"valkey://:{SECRET}@127.0.0.1:6379/0",
    f"s3://{SECRET}:{SECRET}@bucket/prefix?sig={SECRET}",
    f"http://user:{SECRET}@proxy:3128",
    f"http://[::1]:8081?{SECRET}",
    f"postgresql://hookline:a/{SECRET}@h1/db",
    f"postgresql://hookline:a@b/{SECRET}@h1/db",
    f"valkey://:a?{SECRET}@h1/0",
    f"valkey://:a#{SECRET}@h1/0",
    f"https://user:a {SECRET}@crm.example.com/",
    f"https://user:a'{SECRET}\"@crm.example.com/",
    f"user:{SECRET}@kafka:9092",
    f"postgresql://hookline:7/{SECRET}@h1/db",
    f"https://user:/{SECRET}@crm.example.com/hook",
    f"s3://AKIA:12/{SECRET}@bucket/prefix",
    f"https://a?{SECRET}@crm.example.com/",
    f"https://a'{SECRET}@crm.example.com/",
    f"https://a/{SECRET}@crm.example.com/",
    f"https://crm.example.com/hook?a='{SECRET}",
    f"user:{SECRET}://a@kafka:9092",
]
WRONG = [f"postgres:user:{SECRET}@h", f"host=h password={SECRET} x"]
IN_TEXTS = [url for url in URLS if "://" in url and not url.startswith("user:")]
# What a password can have that is not percent-encoded; the marks are frequent.
USERINFO = st.text(
    st.sampled_from("/?#@:'\"<>\\[]{}(),;.%&=$ 17ab")
    | st.characters(exclude_categories=["C", "Zl", "Zp"]),
    max_size=24,
)


def test_the_host_and_the_path_of_a_url_are_shown() -> None:
    """So a reader knows which URL it is, and that it has more."""
    assert [public_url(url) for url in URLS[:10]] == [
        "https://crm.example.com/hook?***#***",
        "https://***@crm.example.com:8443/hook",
        "https://***@crm.example.com/hook",
        "postgresql://***@h1:5432,h2:5432/db?***",
        "valkey://***@127.0.0.1:6379/0",
        "s3://***@bucket/prefix?***",
        "http://***@proxy:3128",
        "http://[::1]:8081?***",
        "postgresql://***",
        "postgresql://***",
    ]


@pytest.mark.parametrize(
    "value",
    [
        *("https://crm.example.com/hook", "https://example.com/@name", "file:///archive", "/a@b"),
        *("s3://bucket/prefix", "kafka-1:9092,kafka-2:9092", "", "http://", "callbacks@night"),
    ],
)
def test_a_value_without_secret_parts_is_shown_as_it_is(value: str) -> None:
    """Also one that is not a URL."""
    assert public_url(value) == value
    assert without_url_secrets(value) == value


def test_the_text_around_a_url_stays() -> None:
    """With the mark that ends a sentence or a clause."""
    text = f"(http://a:{SECRET}@b/?c): no answer from 'https://d?{SECRET}', see http://e."
    assert without_url_secrets(text) == (
        "(http://***@b/?***): no answer from 'https://d?***', see http://e."
    )


def test_an_example_and_a_name_in_a_path_are_shown() -> None:
    """If no @ follows that may be the end of a password."""
    text = "must be a URL like valkey://:password@host:6379/0, not 'a@b', see https://c.d/@name"
    assert without_url_secrets(text) == text
    assert public_url("https://a:1/@b") == "https://***"
    assert without_url_secrets("see https://a.b/c and d@e") == "see https://***"


@given(
    userinfo=USERINFO,
    scheme=st.sampled_from(["https", "postgresql", "valkey", "s3"]),
    host=st.sampled_from(["h", "h:1/db", "[::1]:2", "h:1,i:2/db?x=y", "/db", ""]),
    before=st.sampled_from(["", "the target ", '{"url": "', "('"]),
    after=st.sampled_from(["", " refuses", "'", '"}', ": 404", ".\n"]),
)
def test_no_four_characters_of_a_user_and_password_are_shown(
    userinfo: str, scheme: str, host: str, before: str, after: str
) -> None:
    """Whichever characters they have, as a setting's value and within a text."""
    # As https://example.com/@name, as two URLs, as our examples: they have to be shown.
    assume(not re.fullmatch(r"[A-Za-z0-9.-]+/", userinfo))
    assume("://" not in userinfo)
    assume("password" not in userinfo)
    url = f"{scheme}://{userinfo}@{host}"
    public = f"{before}{scheme}://***@{host}?***#***{after}"
    parts = {userinfo[at : at + 4] for at in range(len(userinfo) - 3)}
    for shown in (public_url(url), without_url_secrets(f"{before}{url}{after}")):
        assert not [part for part in parts if part in shown and part not in public], shown


@pytest.mark.parametrize("repeated", ["a,", "a:1,", "a/@", "a@ ", "a?'", "http://", "http://a@ "])
def test_a_long_text_takes_linear_time(repeated: str) -> None:
    """It may be an answer from outside. With backtracking, this would not end."""
    text = without_url_secrets(f"https://{repeated * 10_000}a:x")
    assert text.startswith("https://")


@pytest.mark.parametrize("url", [url for url in URLS if "," not in url])
def test_no_setting_shows_the_secret_of_a_url(url: str) -> None:
    """Neither in the settings that a process logs, nor in the error if the value is refused."""
    for prefix, declared in CLASSES.items():
        for setting in settings_of(declared, prefix):
            if setting.allowed.startswith("a path"):
                continue
            with pytest.raises(SettingsFaults) as raised:
                read_settings({prefix: declared}, {setting.variable: url, f"{prefix}UNKNOWN": url})
            assert SECRET not in str(raised.value), setting.variable
            logged = settings_as_json(
                {prefix: declared}, [declared(**_values(declared, prefix, setting, url))]
            )
            assert SECRET not in json.dumps(logged), setting.variable


def _values(declared: type, prefix: str, setting: Setting, url: str) -> dict[str, object]:
    """Return values for all settings: the URL for one, if it is allowed."""
    values: dict[str, object] = {
        each.field: "" if each.required else each.default for each in settings_of(declared, prefix)
    }
    with contextlib.suppress(ValueError):
        value = setting.parse(url)
        # One that is not allowed is never logged.
        values |= {setting.field: value} if setting.allows(value) else {}
    return values


def _commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def test_no_option_of_a_command_shows_the_secret_of_a_connection_string(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The error of each option that refuses a URL is printed without its secret."""
    refused = 0
    for path, command in _commands(main):
        for option in command.params:
            if not isinstance(option, click.Option) or option.is_flag or option.nargs != 1:
                continue
            # The password of another value is known by its scheme only.
            for url in (*URLS, *WRONG) if option.name == "postgres" else IN_TEXTS:
                try:
                    option.process_value(click.Context(command), [url] if option.multiple else url)
                except click.UsageError as error:
                    refused += 1
                    _show(error)
                    assert SECRET not in capsys.readouterr().err, (path, option.name)
    assert refused > len(SUBCOMMANDS)


@pytest.mark.parametrize("lines", [TextLines(), JsonLines()])
@given(
    url=st.sampled_from(IN_TEXTS),
    before=st.sampled_from(["", "the target ", "url=", '{"url": "', "<", "('"]),
    after=st.sampled_from(["", " refuses", "'", '"}', ": 404", ".\n"]),
)
def test_no_log_line_has_the_secret_of_a_url(
    lines: logging.Formatter, url: str, before: str, after: str
) -> None:
    """Whether it is in the message, in a field or in a traceback."""
    text = f"{before}{url}{after}"
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", (text,), None)
    record.fields = {"a": text, "b": [{"c": text}]}
    record.exc_info = (ValueError, ValueError(text), None)
    assert SECRET not in lines.format(record)


def test_an_answer_that_is_not_http_does_not_show_the_request() -> None:
    """The error of the client has the URL and the signature of the request."""
    url = URL(f"https://crm.example.com/?token={SECRET}")
    headers = CIMultiDictProxy(CIMultiDict({"webhook-signature": SECRET}))
    request = RequestInfo(url, "POST", headers, url)
    error = ClientResponseError(request, (), status=400, message="Bad status line")
    attempt = Attempt()
    attempt.connection = Connection.MADE
    text = in_words(error, attempt)
    assert text == "the target gave no answer: its answer is not HTTP: Bad status line"


def test_an_archive_that_cannot_be_opened_does_not_show_its_token() -> None:
    """Its URL may have a token in the query."""
    with pytest.raises(CannotOpenStore) as raised:
        open_store(f"nosuch://{SECRET}@account/container?sig={SECRET}")
    assert SECRET not in str(raised.value)
