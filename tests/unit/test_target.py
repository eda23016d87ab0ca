"""The request's target, in every form that it may come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from ingress.http.target import misspelled_sdkappid, parse_target


@pytest.mark.parametrize(
    ("raw", "path", "parameters"),
    [
        ("/?a=1&b=2", "/", {"a": "1", "b": "2"}),
        ("/im/callback?b=2&a=1", "/im/callback", {"a": "1", "b": "2"}),
        ("/SdkAppid=1&a=2", "/", {"SdkAppid": "1", "a": "2"}),
        ("/im/SdkAppid=1&a=%3A", "/im", {"SdkAppid": "1", "a": ":"}),
        ("/SdkAppid=1?a=2", "/SdkAppid=1", {"a": "2"}),
        ("/x?a=1&a=2&c", "/x", {"a": "1", "c": ""}),
        ("/x?%61=%31&a=2", "/x", {"a": "1"}),
        ("/x?a=1+2%2B3#f", "/x", {"a": "1 2+3"}),
        ("/%69m?a=1", "/im", {"a": "1"}),
        ("http://host:80/x?a=1", "/x", {"a": "1"}),
        ("http://host?a=1", "/", {"a": "1"}),
    ],
)
def test_every_form_is_read(raw: str, path: str, parameters: dict[str, str]) -> None:
    """Of a repeated parameter the first value counts."""
    found_path, found_parameters = parse_target(raw)
    assert found_path == path
    assert {name: value for name, value in found_parameters.items() if name} == parameters


@given(pairs=st.lists(st.tuples(st.text("abc", min_size=1), st.text()), max_size=5))
def test_parameters_are_the_same_as_yarls(pairs: list[tuple[str, str]]) -> None:
    """Our faster parser agrees with yarl."""
    url = URL.build(path="/p", query=pairs)
    _, found_parameters = parse_target(url.raw_path_qs)
    assert {n: v for n, v in found_parameters.items() if n} == {
        n: url.query.getall(n)[0] for n in url.query
    }


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (["a", "SdkAppId"], "SdkAppId"),
        (["sdk-app-id", "x"], "sdk-app-id"),
        (["sdkappid", "SdkAppid"], ""),
        (["SdkApp", "SdkAppids", ""], ""),
        (["S" + "_" * 5000 + "dkappid"], ""),
    ],
)
def test_another_spelling_of_sdkappid_is_recognized(names: list[str], wrong: str) -> None:
    """Not if the right one is there, and not in a name that an answer must not repeat."""
    assert misspelled_sdkappid(names) == wrong


@given(name=st.text(max_size=30))
def test_any_name_may_be_asked_for_its_spelling(name: str) -> None:
    """The result is the name or nothing."""
    assert misspelled_sdkappid([name]) in ("", name)
