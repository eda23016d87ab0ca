"""Give the servers, the load generators and Kafka cores of their own, where there are enough."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# A generator needs a fifth of the CPU that a server needs for a callback, and Kafka a tenth.
SERVERS_PER_GENERATOR = 2
SERVERS_PER_KAFKA_CORE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """
    The cores of each server and each generator, of Kafka, and of Valkey if the servers use it.

    `own`: no core has two of them. Otherwise all of them share all cores. `needed` are the cores
    that they need for cores of their own.
    """

    servers: tuple[tuple[int, ...], ...]
    generators: tuple[tuple[int, ...], ...]
    kafka: tuple[int, ...]
    own: bool
    needed: int
    valkey: tuple[int, ...] = ()


def assign(
    cores: Sequence[int], *, servers: int, has_load: bool, has_valkey: bool = False
) -> Cores:
    """Return the cores of `servers` processes, their generators (if there is a load) and Kafka."""
    generators = -(-servers // SERVERS_PER_GENERATOR) if has_load else 0
    kafka = -(-servers // SERVERS_PER_KAFKA_CORE)
    needed = servers + generators + kafka + has_valkey
    if needed > len(cores):
        every = tuple(cores)
        return Cores(
            servers=(every,) * servers,
            generators=(every,) * generators,
            kafka=every,
            own=False,
            needed=needed,
            valkey=every if has_valkey else (),
        )
    single = [(core,) for core in cores[: servers + generators]]
    return Cores(
        servers=tuple(single[:servers]),
        generators=tuple(single[servers:]),
        kafka=tuple(cores[servers + generators : needed - has_valkey]),
        own=True,
        needed=needed,
        valkey=tuple(cores[needed - has_valkey : needed]),
    )


def pin(pid: int, cores: Sequence[int]) -> None:
    """Keep all threads of a process, and those that they start, on `cores`."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread.name), cores)
