"""Write errors of authorization as texts that name the resource and the principal."""

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)

from schemas.kafka_outage import NotAuthorized
from schemas.kafka_probe import login_of


# Each is also of the kind that aiokafka raises, for callers that expect one of these.
class TopicDenied(NotAuthorized, TopicAuthorizationFailedError):
    """The principal may not use a topic in this way."""


class GroupDenied(NotAuthorized, GroupAuthorizationFailedError):
    """The principal may not use a group in this way."""


class TransactionalIdDenied(NotAuthorized, TransactionalIdAuthorizationFailed):
    """The principal may not use a transactional id."""


class ClusterDenied(NotAuthorized, ClusterAuthorizationFailedError):
    """The principal may not use the cluster in this way."""


_RESOURCES: dict[type[KafkaError], tuple[str, type[NotAuthorized]]] = {
    TopicAuthorizationFailedError: ("topic", TopicDenied),
    GroupAuthorizationFailedError: ("group", GroupDenied),
    TransactionalIdAuthorizationFailed: ("transactional id", TransactionalIdDenied),
    ClusterAuthorizationFailedError: ("cluster", ClusterDenied),
}
DENIALS = tuple(_RESOURCES)


def check_denial(code: int, name: str) -> None:
    """
    Return if the error code of an answer about the resource `name` is not of authorization.

    Raises:
        KafkaError: one of DENIALS, with the name.
    """
    if (error := for_code(code)) in DENIALS:
        raise error(name)


def denial_of(error: BaseException | None, client: AIOKafkaClient) -> NotAuthorized | None:
    """Return which right the principal of `client` lacks; None if `error` has another cause."""
    while error is not None and type(error) not in _RESOURCES:
        error = error.__cause__
    if error is None:
        return None
    resource, kind = _RESOURCES[type(error)]  # type: ignore[index]
    principal = login_of(client).principal
    return kind(
        f"Kafka does not authorize {principal} for the {resource}{_names(error)}; give it the "
        "rights of its service (docs/acls.md)"
    )


def _names(error: BaseException) -> str:
    # aiokafka passes a name, several, a text of the broker, or an answer.
    given = error.args[0] if error.args else ()
    if isinstance(given, str):
        given = [given.removeprefix("Unable to get coordinator id for ")]
    if not isinstance(given, list | tuple | set | frozenset):
        return ""
    names = sorted(name for name in given if isinstance(name, str) and _is_name(name))
    quoted = [f'"{name}"' for name in names]
    return f" {', '.join(quoted)}" if quoted else ""


def _is_name(text: str) -> bool:
    return bool(text) and text.isprintable() and " " not in text
