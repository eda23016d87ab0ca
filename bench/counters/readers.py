"""The counters to measure: ours and its peers, each started as its documentation says."""

from collections.abc import Callable
from dataclasses import dataclass

from valkey import Valkey

from bench.processes import start
from bench.readers import ASK_S, Started, Task, start_peer
from consumers.counters import layout
from ops.demo.embedded import child


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """What a counter is started with: its task, the URL of its Valkey, the members of its group."""

    task: Task
    valkey: str
    members: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """
    One way to count the records of the topic.

    `counts` says in words what it counts. `uses_valkey`: into a Valkey, whose CPU is shown.
    """

    name: str
    counts: str
    start: Callable[[Counting], Started]
    uses_valkey: bool = False


def _hookline(counting: Counting) -> Started:
    ports = [child.free_port() for _ in range(counting.members)]
    return Started(
        processes=[
            start(
                ["consumers", "counters"],
                {
                    "HOOKLINE_BOOTSTRAP_SERVERS": counting.task.kafka,
                    "COUNTERS_VALKEY": counting.valkey,
                    "CONSUMER_ADMIN_PORT": str(port),
                    # The group has offsets of the run before, which counted into another Valkey.
                    "CONSUMER_REBUILD": "true",
                },
                counting.task.directory / f"member-{port}.log",
            )
            for port in ports
        ],
        begun=lambda: any(map(child.listens, ports)),
        applied=lambda: applied_in(counting.valkey),
        ended=lambda: applied_in(counting.valkey) >= counting.task.records,
        look_s=ASK_S,
    )


def applied_in(valkey: str) -> int:
    """
    Return the number of callbacks that are counted in a Valkey.

    The members' metrics would miss a batch that was applied while its partition was revoked.
    """
    with Valkey.from_url(valkey) as client:
        return sum(map(int, client.hvals(layout.applied(layout.FIRST_GENERATION))))


def _peer(*command: str) -> Callable[[Counting], Started]:
    return lambda counting: start_peer(command, counting.task, {"VALKEY": counting.valkey})


COUNTERS = (
    Counter(
        name="hookline",
        counts="each figure of an app by minute, quarter hour and day; people; repeats apart",
        start=_hookline,
        uses_valkey=True,
    ),
    Counter(
        name="counting_tamed",
        counts="records",
        start=_peer("bench.peers.counting", "tamed"),
    ),
    Counter(
        name="incr_pfadd",
        counts="callbacks of a minute, people of a day",
        start=_peer("bench.counters.peers.incr_pfadd"),
        uses_valkey=True,
    ),
    Counter(
        name="quix_window",
        counts="callbacks of a minute",
        start=_peer("bench.counters.peers.quix_window"),
    ),
)
BY_NAME = {counter.name: counter for counter in COUNTERS}
