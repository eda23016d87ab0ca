"""The text of `forward_fault` in /status and in the log."""

from aiokafka.errors import UnknownTopicOrPartitionError

from schemas.topics import CALLBACKS, DEAD_LETTERS


def fault_text(error: Exception) -> str:
    """Return why rows cannot be sent, and what to do if a topic does not exist."""
    if isinstance(error, UnknownTopicOrPartitionError):
        topics = " or ".join(f'"{topic.name}"' for topic in (CALLBACKS, DEAD_LETTERS))
        return f"topic {topics} does not exist; create it with: hookline topics apply"
    if isinstance(error, TimeoutError):
        return "Kafka does not answer in time"
    return str(error) or type(error).__name__
