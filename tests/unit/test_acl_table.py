"""The file of ACLs: faults are named with their keys, and rights are those of the service."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.kafka.access import plaintext

from ops.acls.entry import Operation, ResourceType
from ops.acls.other_pipelines import check_others
from ops.acls.record import TRANSACTIONAL_ID
from ops.acls.rights import SERVICES, Right, service_rights, webhook_rights
from ops.acls.table import UnusableTable, read_table
from ops.dead_letters.to_topic import TRANSACTIONAL_ID as DEAD_LETTERS_ID
from schemas.kafka_access import kafka_access
from schemas.topics import CALLBACKS

GOOD = """
[services]
ingress = ["User:in"]
archive = ["User:ar"]
[webhooks]
crm = ["User:wh"]
[[subscribers]]
principal = "User:bi"
topics = ["tim.callbacks.v1"]
group_prefix = "billing-"
dead_letters = "bi.dead"
"""


def table_of(tmp_path: Path, text: str) -> Path:
    """Return a file with this content."""
    file = tmp_path / "acls.toml"
    file.write_text(text)
    return file


def test_a_good_table_gives_each_principal_only_its_rights(tmp_path: Path) -> None:
    """A subscriber reads its topic in its groups, and writes only to a topic of its own."""
    entries = read_table(table_of(tmp_path, GOOD), plaintext("")).entries(plaintext(""))
    assert {entry.principal for entry in entries} == {"User:in", "User:ar", "User:wh", "User:bi"}
    assert sorted(str(entry) for entry in entries if entry.principal == "User:bi") == [
        "User:bi may read group billing-… (prefix)",
        "User:bi may read topic bi.dead",
        "User:bi may read topic tim.callbacks.v1",
        "User:bi may write topic bi.dead",
    ]
    assert all(entry.operation != Operation.ALL for entry in entries)
    assert all(entry.resource_type != ResourceType.CLUSTER for entry in entries)


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("[services]", "[services", "is not TOML: .*at line 2"),
        ("ingress =", "ingres =", r"services\.ingres: unknown service; known are ingress, archive"),
        ('["User:in"]', '"User:in"', r"services\.ingress: Expected array, got str"),
        ('["User:in"]', "[]", r"services\.ingress: '' must be a principal"),
        ('"User:in"', '"in"', r"services\.ingress\[0\]: 'in' must be a principal as the brokers"),
        ('"User:in"', '"User:*"', r"services\.ingress\[0\]: User:\* is everybody"),
        ("crm =", '"C R M" =', r"webhooks\.C R M: must be the WEBHOOK_NAME"),
        ("User:bi", "User:in", r"subscribers\[0\]\.principal: User:in is the principal of a serv"),
        ("tim.callbacks.v1", "tim.v1", r"subscribers\[0\]\.topics: must be one or both of tim"),
        ("billing-", "arch", r"group_prefix: arch also selects groups of Hookline, such as archi"),
        ("billing-", "webhook-x", r"webhook-x also selects groups of Hookline, such as webhook-;"),
        ("billing-", "hook", r"hook also selects groups of Hookline, such as webhook-|hookline-;"),
        ("billing-", "*", r"subscribers\[0\]\.group_prefix: must be 3 to 100 of A-Z"),
        ("group_prefix", "groups", r"subscribers\[0\]: Object .* field group"),
        ("bi.dead", "b i", r"subscribers\[0\]\.dead_letters: 'b i' must be the name of a topic"),
        ("bi.dead", CALLBACKS.name, r"dead_letters: tim\.callbacks\.v1 is a topic of Hookline or"),
        ("bi.dead", "hookline.acls.v1", r"dead_letters: hookline\.acls\.v1 is a topic of Hook"),
        ("bi.dead", "__consumer_offsets", r"dead_letters: __consumer_offsets is a topic of Hook"),
        (
            "bi.dead",
            "prod.tim.callbacks.v1",
            r"dead_letters: prod\.tim\.callbacks\.v1 is a topic of",
        ),
        (
            "bi.dead",
            "prod.hookline.acls.v1",
            r"dead_letters: prod\.hookline\.acls\.v1 is a topic of",
        ),
        ("bi.dead", "a.hookline-spool-b", r"dead_letters: a\.hookline-spool-b is a topic of Hook"),
        (
            "billing-",
            "prod.hookline-spool-",
            r"prod\.hookline-spool- has hookline-spool-, so it may",
        ),
        (
            "billing-",
            "prod.webhook-a",
            r"group_prefix: prod\.webhook-a has webhook-, so it may be of",
        ),
    ],
)
def test_a_fault_is_named_with_its_key(tmp_path: Path, before: str, after: str, fault: str) -> None:
    """The text says what must be there."""
    assert GOOD.count(before) == 1
    with pytest.raises(UnusableTable, match=fault):
        read_table(table_of(tmp_path, GOOD.replace(before, after)), plaintext(""))


@pytest.mark.parametrize(
    ("prefix", "name", "fault"),
    [
        ("tim.", "callbacks.v1", r"tim\.callbacks\.v1 is a topic of Hookline"),
        ("hookline.", "acls.v1", r"hookline\.acls\.v1 is a topic of Hookline"),
        ("__consumer_", "offsets", "__consumer_offsets is a topic of Hookline or Kafka"),
        ("a" * 99 + ".", "b" * 150, "'a+[.]b{150}' must be the name of a topic, at most 249"),
    ],
)
def test_the_name_with_the_prefix_of_the_pipeline_is_checked(
    tmp_path: Path, prefix: str, name: str, fault: str
) -> None:
    """Kafka knows only that name."""
    file = table_of(tmp_path, GOOD.replace("bi.dead", name))
    assert read_table(file, plaintext("")).dead_letter_topics() == [name]
    with pytest.raises(UnusableTable, match=rf"subscribers\[0\]\.dead_letters: '?{fault}"):
        read_table(file, kafka_access("", {"HOOKLINE_KAFKA_PREFIX": prefix}))


@pytest.mark.parametrize(
    ("prefix", "before", "after", "fault"),
    [
        ("", "billing-", "prod.", r"group_prefix: prod\. also selects groups of the pipeline of"),
        ("", "billing-", "prod", r"group_prefix: prod also selects groups of the pipeline of"),
        ("", "billing-", "prod.arch", r"group_prefix: prod\.arch also selects groups of the pip"),
        ("eu.", "billing-", "prod.", r"group_prefix: eu\.prod\. also selects groups of the pip"),
        ("", "bi.dead", "prod.bi.dead", r"dead_letters: prod\.bi\.dead is of the pipeline of the"),
        ("prod.", "billing-", "billing-", ""),
        ("", "billing-", "billing-", ""),
        ("eu.prod.x.", "billing-", "billing-", ""),
    ],
)
def test_a_subscriber_gets_no_right_in_another_pipeline(
    tmp_path: Path, prefix: str, before: str, after: str, fault: str
) -> None:
    """Those on the cluster are known by their main topics; one may be within another's prefix."""
    kafka = kafka_access("", {"HOOKLINE_KAFKA_PREFIX": prefix})
    table = read_table(table_of(tmp_path, GOOD.replace(before, after)), kafka)
    topics = ["tim.callbacks.v1", "prod.tim.callbacks.v1", "eu.prod.tim.callbacks.v1", "x"]
    with (
        pytest.raises(UnusableTable, match=rf"subscribers\[0\]\.{fault}")
        if fault
        else contextlib.nullcontext()
    ):
        check_others(table, kafka, topics)


def test_two_subscribers_do_not_share_groups(tmp_path: Path) -> None:
    """The one whose prefix begins with the other's could move the other's offsets."""
    more = '[[subscribers]]\nprincipal = "User:b2"\ntopics = ["tim.callbacks.v1"]\n'
    with pytest.raises(UnusableTable, match=r"billing- and the billing-new- of User:b2 select"):
        read_table(
            table_of(tmp_path, f'{GOOD}{more}group_prefix = "billing-new-"\n'), plaintext("")
        )


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """As is one that is not text."""
    with pytest.raises(UnusableTable, match=r"acls\.toml cannot be read: No such file"):
        read_table(tmp_path / "acls.toml", plaintext(""))
    (tmp_path / "acls.toml").write_bytes(b"\xff")
    with pytest.raises(UnusableTable, match=r"acls\.toml is not TOML"):
        read_table(tmp_path / "acls.toml", plaintext(""))


def test_no_service_may_use_the_record_of_acls() -> None:
    """Its writer decides which ACLs are removed; that is the work of a super user."""
    names = {
        right.name
        for rights in SERVICES.values()
        for right in rights
        if right.kind is ResourceType.TRANSACTIONAL_ID
    }
    assert not any(TRANSACTIONAL_ID.startswith(name) for name in names)
    assert DEAD_LETTERS_ID in names


def cell(rights: Sequence[Right], kind: ResourceType, *operations: Operation) -> str:
    """Return the names of the rights of a kind that allow one of `operations`."""
    names = [
        f"`{right.name}*`" if right.is_prefix else f"`{right.name}`"
        for right in rights
        if right.kind is kind and set(operations) & set(right.operations)
    ]
    if len(names) == 16:
        return "`0*` to `f*`"
    return ", ".join(dict.fromkeys(names)) or "-"


def test_the_docs_have_the_rights_of_each_service() -> None:
    """A row of docs/acls.md for each, in the order of the code."""
    page = (Path(__file__).parents[2] / "docs" / "acls.md").read_text()
    others = set(Operation) - {Operation.READ, Operation.WRITE, Operation.DESCRIBE}
    rows = [
        "| "
        + " | ".join(
            (
                f"`{name}`",
                cell(rights, ResourceType.TOPIC, Operation.READ),
                cell(rights, ResourceType.TOPIC, Operation.WRITE),
                cell(rights, ResourceType.TOPIC, *others),
                cell(rights, ResourceType.GROUP, Operation.READ),
                cell(rights, ResourceType.GROUP, Operation.DESCRIBE),
                cell(rights, ResourceType.TRANSACTIONAL_ID, Operation.WRITE),
            )
        )
        + " |"
        for name, rights in (
            *((each, service_rights(each, plaintext(""))) for each in SERVICES),
            ("webhooks", webhook_rights("NAME")),
        )
    ]
    assert "\n".join(rows) in page, "\n".join(rows)
