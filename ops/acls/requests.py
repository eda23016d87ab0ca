"""
List, create and delete ACLs.

aiokafka has the messages for it, but no calls (docs/decisions/0044-acls.md).
"""

from collections.abc import Collection, Iterator
from typing import Any

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

from ops.acls.entry import AclEntry
from ops.failure import Failure

# In a filter: any type, any pattern, any operation and permission.
_ANY = 1
# The controller refuses requests of 10,000 changes.
REQUEST_ENTRIES_MAX = 500


class AclsRefused(Failure):
    """Kafka refuses to list or to change ACLs; the text says why and what to do."""


async def list_acls(client: AIOKafkaClient) -> set[AclEntry]:
    """
    Return all ACLs of the cluster, as far as the broker that is asked knows them.

    Raises:
        AclsRefused: the brokers have no authorizer, or the command's user may not list ACLs.
        KafkaError: Kafka does not answer.
    """
    answer = await _sent(client, _List())
    _check(answer["error_code"], answer["error_message"], "list")
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
        AclsRefused: the command's user may not create ACLs; some may have been created.
        KafkaError: Kafka does not answer; some may have been created.
    """
    for some in _parts(entries):
        answer = await _sent(client, _Create(some))
        for result in answer["creation_responses"]:
            _check(result["error_code"], result["error_message"], "create")


async def delete_acls(client: AIOKafkaClient, entries: Collection[AclEntry]) -> None:
    """
    Delete exactly `entries`; those that do not exist are ignored.

    Raises:
        AclsRefused: the command's user may not delete ACLs; some may have been deleted.
        KafkaError: Kafka does not answer; some may have been deleted.
    """
    for some in _parts(entries):
        # Each filter has all parts of one entry, and neither ANY nor MATCH: it selects that entry.
        answer = await _sent(client, _Delete(some))
        for result in answer["filter_responses"]:
            _check(result["error_code"], result["error_message"], "delete")
            for deleted in result["matching_acls"]:
                _check(deleted["error_code"], deleted["error_message"], "delete")


def _parts(entries: Collection[AclEntry]) -> Iterator[list[AclEntry]]:
    ordered = sorted(entries)
    for first in range(0, len(ordered), REQUEST_ENTRIES_MAX):
        yield ordered[first : first + REQUEST_ENTRIES_MAX]


async def _sent(client: AIOKafkaClient, request: Request[Any]) -> dict[str, Any]:
    node = client.get_random_node()
    if node is None:
        raise KafkaError("the client knows no broker")
    response: Any = await client.send(node, request)
    answer: dict[str, Any] = response.to_object()
    return answer


def _check(code: int, message: str | None, verb: str) -> None:
    if not code:
        return
    error = for_code(code)
    if error is SecurityDisabled:
        raise AclsRefused(
            "the brokers have no authorizer, so ACLs have no effect: set authorizer.class.name on"
            " every broker and controller (docs/acls.md), or give no file of ACLs"
        )
    if error is ClusterAuthorizationFailedError:
        raise AclsRefused(
            f"the user of this command may not {verb} ACLs: run it as one of the brokers'"
            " super.users, or as a principal with Alter on the cluster"
        )
    raise (KafkaError if error.retriable else AclsRefused)(
        f"Kafka refuses to {verb} ACLs: {error.__name__}: {message}"
    )


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
