"""The documents of docs/contract are those of the code, and every callback fits them."""

import json
import random
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from jsonschema_rs import meta
from support.builders import SAMPLES, a_callback
from support.contract_schemas import (
    FOLDER,
    callback_faults,
    faults,
    header_faults,
    schema,
    undeclared,
)
from support.vendor_samples import SAMPLES as VENDOR_SAMPLES

from ops.contract import texts
from ops.simulate.callbacks import requests
from schemas.commands import COMMANDS
from schemas.outgoing_record import ReceivedCallback, main_topic_record, with_place_and_id
from schemas.payload import PAYLOADS

ROOT = Path(__file__).parents[2]
IDENTITY_CASES = json.loads((ROOT / "tests/samples/identity/cases.json").read_text())
ORIGIN = "0123456789abcdef"


def test_the_committed_documents_are_those_of_the_code() -> None:
    """If this fails, run `make docs-contract`."""
    committed = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert committed.keys() == texts().keys()
    for name, text in texts().items():
        assert committed[name] == text, name


@pytest.mark.parametrize("name", [path.name for path in sorted(FOLDER.glob("*.schema.json"))])
def test_every_schema_is_one_of_the_draft_2020_12(name: str) -> None:
    """Its keywords have the types that the draft demands."""
    meta.validate(json.loads((FOLDER / name).read_text()))


def test_the_asyncapi_document_has_the_same_schemas() -> None:
    """Only the reference to any element differs, because it is another document."""
    of_asyncapi = json.loads(
        (FOLDER / "asyncapi.json")
        .read_text()
        .replace("#/components/schemas/Element/schema", "#/$defs/Element")
    )["components"]["schemas"]
    definitions = dict(schema("Callback")["$defs"])
    for name, wrapped in of_asyncapi.items():
        if wrapped.get("x-of") == "TIM":
            assert wrapped["schema"] == definitions.pop(name)
            meta.validate(wrapped["schema"])
        else:
            own = {k: v for k, v in schema(name).items() if k not in {"$schema", "$id", "title"}}
            assert wrapped["schema"] == {k: v for k, v in own.items() if k != "$defs"}
    assert definitions == {}


def test_every_schema_is_open() -> None:
    """Unknown fields, headers and keys pass."""
    for name, text in texts().items():
        assert '"additionalProperties": false' not in text, name
        assert "unevaluatedProperties" not in text, name


def assert_fits(callback: ReceivedCallback, document: dict[str, Any]) -> None:
    """Check the record that the ingress writes for a callback."""
    record = main_topic_record(callback)
    headers = with_place_and_id(record.headers, ORIGIN, 7)
    assert header_faults(headers) == []
    assert undeclared(headers, "RecordHeaders") == set()
    command = dict(headers)["ce_type"].decode()
    assert callback_faults(command, document) == [], document
    assert json.loads(record.value.decode("utf-8-sig")) == document


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_every_sample_fits(sample: Path) -> None:
    """They are as real senders write them."""
    assert_fits(a_callback(sample.read_bytes()), json.loads(sample.read_bytes()))


@pytest.mark.parametrize("command", VENDOR_SAMPLES)
def test_the_callback_of_each_command_fits_and_has_only_declared_fields(command: str) -> None:
    """They have the fields that TIM documents, nested ones included."""
    document = VENDOR_SAMPLES[command].document
    assert_fits(a_callback(json.dumps(document).encode(), command=command), document)
    assert set(paths(document)) <= set(declared_paths(command))


def paths(value: Any, path: str = "") -> Iterable[str]:
    """Yield the path of every field in a document, down to the elements of messages."""
    if isinstance(value, list):
        for each in value:
            yield from paths(each, path)
    elif isinstance(value, dict) and not path.endswith(".MsgBody"):
        for name, inner in value.items():
            yield f"{path}.{name}"
            yield from paths(inner, f"{path}.{name}")


def declared_paths(command: str) -> Iterable[str]:
    """Yield the path of every field in the schema of a command."""

    def inner(part: dict[str, Any], path: str) -> Iterable[str]:
        for name, field in part.get("properties", {}).items():
            yield f"{path}.{name}"
            yield from inner(field.get("items", field), f"{path}.{name}")

    return inner(schema("Callback")["$defs"][command], "")


def test_every_case_of_identity_fits() -> None:
    """A command that only the URL names is in the header."""
    requests_of_cases = [request for case in IDENTITY_CASES for request in case["requests"]]
    for request in requests_of_cases:
        body = json.dumps(request["body"]).encode()
        command = request["url"]["CallbackCommand"]
        assert_fits(a_callback(body, command=command), request["body"])
    assert len(requests_of_cases) > 10


def test_every_callback_of_hookline_simulate_fits() -> None:
    """All of its commands, and some thousand callbacks."""
    seed = random.randrange(1 << 30)  # noqa: S311 - any seed
    sent = list(islice(requests(("1400000001",), users=50, seed=seed), 3000))
    for request in sent:
        parameters = dict(parse_qsl(request.query))
        callback = a_callback(
            request.body,
            sdkappid=parameters["SdkAppid"],
            command=parameters["CallbackCommand"],
            client_ip=parameters["ClientIP"],
            opt_platform=parameters["OptPlatform"],
        )
        assert_fits(callback, json.loads(request.body))
    assert len({request.command for request in sent}) > 10


@pytest.mark.parametrize(
    "document",
    [{"CallbackCommand": "New.Command"}, {"MsgBody": 1, "From_Account": [], "New": {"a": None}}],
)
def test_other_commands_fields_and_types_are_in_the_topic_too(document: dict[str, Any]) -> None:
    """The schema of every value allows them; only that of a command is what TIM documents."""
    record = main_topic_record(a_callback(json.dumps(document).encode(), command="New.Command"))
    assert header_faults(with_place_and_id(record.headers, ORIGIN, 1)) == []
    assert faults("Callback", document) == []


@pytest.mark.parametrize("command", PAYLOADS)
def test_the_typed_views_need_the_fields_that_the_schema_requires(command: str) -> None:
    """They have no field that the schema lacks. Only they need CallbackCommand in the body."""
    fields = msgspec.inspect.type_info(PAYLOADS[command]).fields  # type: ignore[attr-defined]
    declared = schema("Callback")["$defs"][command]
    assert {field.encode_name for field in fields} <= set(declared["properties"])
    required = {field.encode_name for field in fields if field.required} - {"CallbackCommand"}
    assert required == set(declared.get("required", ()))


def test_no_other_command_requires_a_field() -> None:
    """TIM promises none."""
    definitions = dict(schema("Callback")["$defs"])
    assert {name for name in COMMANDS if "required" in definitions[name]} == set(PAYLOADS)
