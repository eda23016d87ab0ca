"""The result of an audit for one webhook, beside its line among the sinks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookReport:
    """
    The receiver's log, compared with the callbacks.

    `lines`: requests that the receiver has accepted; `repeats`: those of them that came again with
    the same id; `samples`: of `hookline webhook test`, not in `lines`; `without_body`: lines that
    have no digest, whose body is not compared. `unknown`: lines with an id that no callback has, a
    fault; 0 if Kafka and the archive may lack callbacks that were delivered: then they are a doubt.
    `unknown_listed` has the first LISTED_MAX in both cases. `waiting`: callbacks that wait in the
    retry topic and that the log does not name. `doubts`: why the proof is incomplete.
    """

    lines: int
    repeats: int
    samples: int
    without_body: int
    unknown: int
    unknown_listed: list[str]
    waiting: int
    doubts: list[str]


def title(name: str) -> str:
    """Return the name of a target in a report."""
    return f"webhook {name}"
