"""Failures of Kafka whose text has the cause and what to do."""

from aiokafka.errors import KafkaConnectionError, KafkaError


class ExplainedFailure(KafkaError):
    """Its text is complete: it names the object, what happened, and the remedy."""

    def __str__(self) -> str:
        """Return the text, without the names of classes that aiokafka puts before it."""
        return str(self.args[0])

    __repr__ = __str__


class KafkaUnreachable(ExplainedFailure):
    """No client can use Kafka with its settings; the text has the cause for each address."""


class NoBrokerListed(ExplainedFailure, KafkaConnectionError):
    """
    A broker answers, but names no broker that clients may use, not even itself.

    The controller lists a broker once it has registered, and not after the silence of a session.
    """

    def __init__(self, addresses: str) -> None:
        super().__init__(
            f"Kafka at {addresses} answers, but lists no broker: its brokers are starting, or the"
            " controllers do not hear from them; see the brokers' and the controllers' logs"
        )


class NotAuthorized(ExplainedFailure):
    """Kafka does not authorize a request of an authenticated client."""


def outage_text(kafka: object, error: Exception) -> str:
    """Return why Kafka cannot be used; `kafka` is its access or its addresses."""
    if isinstance(error, ExplainedFailure):
        return str(error)
    return f"Kafka at {kafka} does not answer: {error!r}"
