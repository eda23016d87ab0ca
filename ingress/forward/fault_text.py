"""The text of `forward_fault` in /status and in the log."""

import logging

from aiokafka.errors import KafkaError

from ingress.spool.disk import DiskFailed, LimitReached

log = logging.getLogger(__name__)


def log_fault(error: Exception, origin: str, sequence: int, *, before: str) -> str:
    """Log why forwarding has stopped, unless that is the fault `before`; return the fault."""
    is_expected = isinstance(error, KafkaError | TimeoutError | OSError | LimitReached | DiskFailed)
    fault = fault_text(error)
    if fault != before or not is_expected:
        log.warning(
            "forwarding from origin %s stopped after sequence %d: %s; callbacks wait on disk",
            origin,
            sequence,
            fault,
            exc_info=None if is_expected else error,
        )
    return fault


def fault_text(error: Exception) -> str:
    """Return why rows cannot be sent."""
    if isinstance(error, TimeoutError):
        return "Kafka does not answer in time"
    return str(error) or type(error).__name__
