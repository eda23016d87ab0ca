"""
The positions of the counters, which show whether they have passed a record.

A record that they have passed is counted, unless they rejected it, or `hookline counters rebuild`
began after it.
"""

from collections.abc import Mapping

from consumers.counters.server import connect
from consumers.runtime.batch import Partition
from consumers.runtime.handler import Stopped, Unavailable
from ops.counters.generations import Generations
from ops.failure import Failure
from ops.find.sources import NotSearched
from schemas.setting import Secret
from schemas.topics import CALLBACKS


async def next_offsets(valkey_url: str) -> Mapping[int, int]:
    """
    Return, by partition of the main topic, the offset that the counters expect next.

    Raises:
        NotSearched: Valkey does not answer, or its positions cannot be read.
    """
    valkey = connect(Secret(valkey_url))
    try:
        generations = Generations(valkey)
        positions = await generations.positions(await generations.served())
    except (Unavailable, Stopped, Failure) as error:
        raise NotSearched(str(error)) from error
    finally:
        await valkey.aclose()
    return {
        partition.number: position.next_offset
        for partition, position in positions.items()
        if Partition(*partition).topic == CALLBACKS.name
    }
