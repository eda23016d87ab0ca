"""Why a webhook stops and waits for a person."""

from consumers.runtime.brake import Braked


def gone(answer: str) -> Braked:
    """Return the exception for a target that wants no more callbacks."""
    return Braked(
        f"The target does not want any more callbacks: {answer}. Nothing is delivered until the "
        "process is started again. Remove the target, or correct WEBHOOK_URL; see 'A webhook "
        "stops' in docs/runbook.md."
    )
