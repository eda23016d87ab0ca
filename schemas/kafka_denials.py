"""What Kafka does not authorize a client to use, as a text that names both."""

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

_RESOURCES: dict[type[KafkaError], str] = {
    TopicAuthorizationFailedError: "topic",
    GroupAuthorizationFailedError: "group",
    TransactionalIdAuthorizationFailed: "transactional id",
    ClusterAuthorizationFailedError: "cluster",
}
DENIALS = tuple(_RESOURCES)


def denial_text(error: BaseException | None, principal: str) -> str:
    """Return what Kafka does not authorize `principal` to use, "" if `error` has another cause."""
    while error is not None and not isinstance(error, DENIALS):
        error = error.__cause__
    if error is None:
        return ""
    return (
        f"Kafka does not authorize {principal} for the {_RESOURCES[type(error)]}"
        f"{_names(error)}; give it the rights of its service (docs/acls.md)"
    )


def _names(error: BaseException) -> str:
    names = error.args[0] if error.args else ()
    if isinstance(names, str):
        names = [names.removeprefix("Unable to get coordinator id for ")]
    quoted = [f'"{name}"' for name in sorted(names)]
    return f" {', '.join(quoted)}" if quoted else ""
