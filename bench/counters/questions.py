"""Ask the statistics API while one member counts: the time of its answers and of Valkey's calls."""

import http.client
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from valkey import Valkey

from bench.cost import Watch
from bench.counters.measure import Topic, statistics_api
from bench.counters.readers import BY_NAME, Counting, applied_in
from bench.processes import broker_pids
from bench.readers import RECORDS_PER_S_MIN, START_S_MAX, Started, Task, logged
from bench.scale.cores import Cores, pin
from ops.demo.embedded import child
from ops.demo.embedded.valkey import EmbeddedValkey

# The questions that are asked in turn, one every ASK_S: more of them would measure how much of this
# machine's CPU is left.
QUESTIONS = ("/v1/series?step=day", "/v1/summary")
ASK_S = 0.05
# How often it is looked whether all is counted, in questions.
LOOK_AFTER = 10
ANSWER_S_MAX = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    One run: the milliseconds that each answer took, by question, while one member counted.

    `calls_ms` is the time of the counters' script calls in Valkey, by percentile; 100 is the
    longest. `records` were counted in `seconds`.
    """

    round: int
    records: int
    seconds: float
    answers_ms: Mapping[str, tuple[float, ...]]
    calls_ms: Mapping[str, float]
    others: float

    def answer_ms(self, question: str, percent: float) -> float:
        """Return a percentile of the time of an answer."""
        return percentile(self.answers_ms[question], percent)


def percentile(values: tuple[float, ...], percent: float) -> float:
    """Return the least value that is not exceeded by so many per cent of the values."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def ask_while_counting(
    topic: Topic, history: int, cores: Cores, *, number: int, directory: Path
) -> Asked:
    """
    Ask from the moment when `history` callbacks are counted, in round `number`, until all are.

    Raises:
        NotStarted: a process does not start, or not all is counted.
    """
    directory.mkdir()
    task = Task(kafka=topic.kafka.address, records=topic.records, directory=directory)
    counter = BY_NAME["hookline"]
    with child.running(EmbeddedValkey(directory / "valkey")) as valkey:
        # The longest call, too.
        _configure(valkey.url, "latency-tracking-info-percentiles", "50 99 100")
        started = counter.start(Counting(task=task, valkey=valkey.url, members=1))
        pin(started.pids[0], cores.servers[0])
        pin(broker_pids(topic.kafka)[0], cores.kafka)
        valkey_pids = [valkey.process.pid] if valkey.process else []
        for pid in valkey_pids:
            pin(pid, cores.valkey)
        try:
            timeout_s = START_S_MAX + task.records / RECORDS_PER_S_MIN
            started.wait(lambda: applied_in(valkey.url) >= history, "counts the history", timeout_s)
            with statistics_api(valkey.url, directory) as port:
                _warm_up(port)
                _reset_calls(valkey.url)
                watch = Watch(broker_pids(topic.kafka), started.pids, valkey_pids)
                begun, first = time.monotonic(), applied_in(valkey.url)
                answers = _answers(port, started, task, valkey.url, begun + timeout_s)
                seconds = time.monotonic() - begun
                _, others = watch.used()
        except child.NotStarted as fault:
            raise logged(fault, counter.name, directory) from fault
        finally:
            started.stop()
        calls = _calls_ms(valkey.url)
    return Asked(
        round=number,
        records=task.records - first,
        seconds=seconds,
        answers_ms={question: tuple(times) for question, times in answers.items()},
        calls_ms=calls,
        others=others,
    )


def _answers(
    port: int, started: Started, task: Task, valkey: str, deadline: float
) -> dict[str, list[float]]:
    answers: dict[str, list[float]] = {question: [] for question in QUESTIONS}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S_MAX)
    due = time.monotonic()
    for asked, question in enumerate(_in_turn()):
        if not asked % LOOK_AFTER:
            if applied_in(valkey) >= task.records:
                break
            if time.monotonic() > deadline or started.processes[0].poll() is not None:
                raise child.NotStarted("the member has not counted all records")
        # After a slow answer the next question is asked at once, and none is left out.
        due += ASK_S
        time.sleep(max(0.0, due - time.monotonic()))
        answers[question].append(_answer_ms(connection, question))
    connection.close()
    return answers


def _in_turn() -> Iterator[str]:
    while True:
        yield from QUESTIONS


def _warm_up(port: int) -> None:
    """Have the API connect, and load its time zones."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S_MAX)
    for question in 2 * QUESTIONS:
        _answer_ms(connection, question)
    connection.close()


def _answer_ms(connection: http.client.HTTPConnection, question: str) -> float:
    begun = time.perf_counter()
    connection.request("GET", question)
    with connection.getresponse() as response:
        response.read()
    if response.status != 200:
        raise child.NotStarted(f"{question} is answered with status {response.status}")
    return (time.perf_counter() - begun) * 1000


def _configure(valkey: str, name: str, value: str) -> None:
    with Valkey.from_url(valkey) as client:
        client.config_set(name, value)


def _reset_calls(valkey: str) -> None:
    with Valkey.from_url(valkey) as client:
        client.config_resetstat()


def _calls_ms(valkey: str) -> dict[str, float]:
    """Return percentiles of the time that Valkey's thread took for a call of the script."""
    with Valkey.from_url(valkey) as client:
        percentiles = client.info("latencystats").get("latency_percentiles_usec_evalsha", {})
    return {name.removeprefix("p"): float(value) / 1000 for name, value in percentiles.items()}
