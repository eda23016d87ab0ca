"""
The prefix of the names in Kafka, by which several pipelines share one cluster.

Code, sinks and stored data have the bare names; only a call of a client has the prefix
(docs/decisions/0048-kafka-prefix.md).
"""

import re
from typing import NewType

# A topic, a group or a transactional id as the cluster knows it: with the prefix.
KafkaName = NewType("KafkaName", str)

# With the longest name of a topic, the retry topic of a webhook, that is less than Kafka's 249.
PREFIX_CHARACTERS_MAX = 100
_PREFIX = re.compile(rf"[a-zA-Z0-9._-]{{0,{PREFIX_CHARACTERS_MAX - 1}}}[._-]")
# The ACLs of a pipeline select all names that have one of these after its prefix.
SELECTED_BY_ACLS = ("tim.callbacks.", "webhook-", "hookline-spool-", "hookline-replay-")
PREFIX_FORM = (
    f"empty, or at most {PREFIX_CHARACTERS_MAX} of A-Z, a-z, 0-9, '.', '_' and '-', the last of "
    f"them '.', '_' or '-', and without {', '.join(SELECTED_BY_ACLS)}, with which names of "
    "Hookline begin"
)


def is_prefix(text: str) -> bool:
    """Return whether the names of a pipeline can begin with `text`."""
    if not text:
        return True
    return bool(_PREFIX.fullmatch(text)) and not any(each in text for each in SELECTED_BY_ACLS)
