"""
List, create and delete ACLs.

aiokafka has the messages for it, but no calls (docs/decisions/0044-acls.md).
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    SecurityDisabled,
    for_code,
)
from aiokafka.protocol.admin import (
    CreateAclsRequest_v1,
    DeleteAclsRequest_v1,
    DescribeAclsRequest_v1,
)
from aiokafka.protocol.api import Request
from aiokafka.protocol.metadata import MetadataRequest

from ops.acls.entry import AclEntry
from ops.failure import Failure
from schemas.clients import kafka_failures

# In a filter: any type, any pattern, any operation and permission.
_ANY = 1
# The controller refuses requests of 10,000 changes.
REQUEST_ENTRIES_MAX = 500
# So many ACLs are named in an error.
_NAMED_MAX = 20


class AclsRefused(Failure):
    """Kafka refuses to list or to change ACLs; the text says why and what to do."""


class ChangesRefused(AclsRefused):
    """Kafka has answered that it did not change all ACLs: `done` are changed, `untouched` not."""

    def __init__(self, text: str, done: list[AclEntry], untouched: list[AclEntry]) -> None:
        super().__init__(text)
        self.done = done
        self.untouched = untouched


class Listed(NamedTuple):
    """The ACLs that at least one broker lists, and those that all list: a broker may lag."""

    by_any: set[AclEntry]
    by_all: set[AclEntry]


async def cluster_id(client: AIOKafkaClient) -> str:
    """
    Return the id of the cluster.

    Raises:
        KafkaError: Kafka does not answer.
    """
    return str((await _sent(client, MetadataRequest([])))["cluster_id"])


async def list_acls(client: AIOKafkaClient) -> Listed:
    """
    Return all ACLs of the cluster, as its brokers know them.

    Raises:
        AclsRefused: the brokers have no authorizer, or the command's user may not list ACLs.
        KafkaError: a broker does not answer.
    """
    nodes = [broker.nodeId for broker in client.cluster.brokers()]
    if not nodes:
        raise KafkaError("the client knows no broker")
    lists = [_entries(answer) for answer in await _all_sent(client, nodes)]
    return Listed(set.union(*lists), set.intersection(*lists))


async def _all_sent(client: AIOKafkaClient, nodes: Sequence[int]) -> list[dict[str, Any]]:
    return await asyncio.gather(*(_sent(client, _List(), node) for node in nodes))


def _entries(answer: dict[str, Any]) -> set[AclEntry]:
    if code := answer["error_code"]:
        raise _refusal(code, answer["error_message"], "list")
    return {
        AclEntry(
            resource["resource_type"],
            resource["resource_name"],
            resource["resource_pattern_type"],
            acl["principal"],
            acl["host"],
            acl["operation"],
            acl["permission_type"],
        )
        for resource in answer["resources"]
        for acl in resource["acls"]
    }


async def create_acls(client: AIOKafkaClient, entries: Collection[AclEntry]) -> None:
    """
    Create `entries`; those that exist stay as they are.

    Raises:
        ChangesRefused: the command's user may not create ACLs, or one of them is impossible.
        KafkaError: Kafka does not answer; some may have been created.
    """

    def results(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from answer["creation_responses"]

    await _change(client, entries, _Create, "create", results)


async def delete_acls(client: AIOKafkaClient, entries: Collection[AclEntry]) -> None:
    """
    Delete exactly `entries`; those that do not exist are ignored.

    Raises:
        ChangesRefused: the command's user may not delete ACLs.
        KafkaError: Kafka does not answer; some may have been deleted.
    """

    def results(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
        # Each filter has all parts of one entry, and neither ANY nor MATCH: it selects that entry.
        for result in answer["filter_responses"]:
            failed = [each for each in result["matching_acls"] if each["error_code"]]
            yield failed[0] if failed and not result["error_code"] else result

    await _change(client, entries, _Delete, "delete", results)


async def _change(
    client: AIOKafkaClient,
    entries: Collection[AclEntry],
    request: Callable[[list[AclEntry]], Request[Any]],
    verb: str,
    results: Callable[[dict[str, Any]], Iterator[dict[str, Any]]],
) -> None:
    ordered = sorted(entries)
    done: list[AclEntry] = []
    for first in range(0, len(ordered), REQUEST_ENTRIES_MAX):
        some = ordered[first : first + REQUEST_ENTRIES_MAX]
        answers = zip(some, results(await _sent(client, request(some))), strict=True)
        failed = {entry: result for entry, result in answers if result["error_code"]}
        done += (entry for entry in some if entry not in failed)
        if failed:
            cause = next(iter(failed.values()))
            error = _refusal(cause["error_code"], cause["error_message"], verb)
            text = f"{error}; refused: {_named(list(failed))}; {verb}d: {_named(done)}"
            if isinstance(error, KafkaError):
                raise KafkaError(text)
            raise ChangesRefused(text, done, sorted(set(ordered) - set(done)))


def _named(entries: Sequence[AclEntry]) -> str:
    more = len(entries) - _NAMED_MAX
    names = ", ".join(f"ACL {entry}" for entry in entries[:_NAMED_MAX]) or "none"
    return f"{names} and {more} more" if more > 0 else names


async def _sent(
    client: AIOKafkaClient, request: Request[Any], node: int | None = None
) -> dict[str, Any]:
    if node is None:
        node = client.get_random_node()
    if node is None:
        raise KafkaError("the client knows no broker")
    with kafka_failures():
        response: Any = await client.send(node, request)
    answer: dict[str, Any] = response.to_object()
    return answer


def _refusal(code: int, message: str | None, verb: str) -> AclsRefused | KafkaError:
    error = for_code(code)
    if error is SecurityDisabled:
        return AclsRefused(
            "the brokers have no authorizer, so ACLs have no effect: set authorizer.class.name on"
            " every broker and controller (docs/acls.md), or give no file of ACLs"
        )
    if error is ClusterAuthorizationFailedError:
        return AclsRefused(
            f"the user of this command may not {verb} ACLs: run it as one of the brokers'"
            " super.users, or as a principal with Alter on the cluster"
        )
    text = f"Kafka refuses to {verb} ACLs: {error.__name__}: {message}"
    return KafkaError(text) if error.retriable else AclsRefused(text)


class _List(Request[DescribeAclsRequest_v1]):
    API_KEY = DescribeAclsRequest_v1.API_KEY

    def build(self, request_struct_class: type[DescribeAclsRequest_v1]) -> DescribeAclsRequest_v1:
        """Return the request for all ACLs."""
        return request_struct_class(_ANY, None, _ANY, None, None, _ANY, _ANY)


class _Create(Request[CreateAclsRequest_v1]):
    API_KEY = CreateAclsRequest_v1.API_KEY

    def __init__(self, entries: list[AclEntry]) -> None:
        self._entries = entries

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        """Return the request; aiokafka's own creates one ACL."""
        return request_struct_class([tuple(entry) for entry in self._entries])


class _Delete(Request[DeleteAclsRequest_v1]):
    API_KEY = DeleteAclsRequest_v1.API_KEY

    def __init__(self, entries: list[AclEntry]) -> None:
        self._entries = entries

    def build(self, request_struct_class: type[DeleteAclsRequest_v1]) -> DeleteAclsRequest_v1:
        """Return the request; aiokafka's own has one filter."""
        return request_struct_class([tuple(entry) for entry in self._entries])
