"""Format the results of the counters' benchmark as Markdown, one table for each question."""

from collections.abc import Iterator, Sequence

from bench.counters.goals import Results, goals, late_cpu_us
from bench.counters.measure import Run
from bench.counters.questions import ASK_S, QUESTIONS, Asked
from bench.counters.readers import COUNTERS
from bench.machine import Machine
from bench.markdown import (
    counted,
    goal_table,
    introduction,
    others_warning,
    question,
    reading_cells,
    spread,
    table,
)
from bench.scale.tables import scaling_table, shared_warning


def markdown(results: Results, machine: Machine, *, rounds: int) -> str:
    """Return the goals, and then a table for each question that was measured."""
    return "\n".join(
        [
            *introduction(machine, rounds=rounds, a_round="each counter has one run"),
            *_warnings(results, machine),
            *question(
                "Are the goals reached?",
                "One member, unless a goal says otherwise. Each ratio compares two runs of one "
                "round; the CPU includes joining the group.",
            ),
            *goal_table(goals(results)),
            *_counters(results),
            *_members(results),
            *_users(results),
            *_questions(results),
        ]
    )


def line(run: Run) -> str:
    """Return one run as one line of progress."""
    late = f" ({late_cpu_us(run):.1f} us in the last third)" if run.late_us else ""
    return (
        f"{run.counter}, {run.size} member{'s' if run.size > 1 else ''}, {run.users:,} people: "
        f"{run.per_s:,.0f}/s, {run.cpu_us:.1f} us, Valkey {run.valkey_us:.1f} us{late}, "
        f"{run.rss_mib:.0f} MiB, counted {_counted(run)}; "
        f"Kafka {run.kafka_us:.1f} us, others took {run.others:.0%}"
    )


def asked_line(asked: Asked) -> str:
    """Return one run with questions as one line of progress."""
    answers = (
        f"{question}: p50 {asked.answer_ms(question, 50):.1f}, p99 "
        f"{asked.answer_ms(question, 99):.1f} ms of {len(asked.answers_ms[question])}"
        for question in QUESTIONS
    )
    return (
        f"{'; '.join(answers)}; script calls p50 {asked.calls_ms['50']:.1f}, max "
        f"{asked.calls_ms['100']:.1f} ms; {asked.records / asked.seconds:,.0f} records/s counted, "
        f"others took {asked.others:.0%}"
    )


def _warnings(results: Results, machine: Machine) -> Iterator[str]:
    if results.left_out:
        yield from (f"**{results.left_out}.**", "")
    shares = [run.others for run in results.runs] + [run.others for run in results.asked]
    others = max(shares, default=0)
    yield from others_warning(others, "only the ratios may be quoted, and not those of records/s")
    yield from shared_warning(results.members, machine)


def _counters(results: Results) -> Iterator[str]:
    if not results.compared:
        return
    first = results.compared[0]
    yield from question(
        "What does it cost to count a record?",
        f"One process each, on a topic of {first.records:,} records of {first.users:,} people.",
    )
    yield from table(
        [
            *("counter", "CPU µs", "Valkey µs", "records/s", "RSS MiB", "counted", "Kafka µs"),
            "others %",
        ],
        [
            [f"`{counter.name}`", *_cells(runs)]
            for counter in COUNTERS
            if (runs := results.of(counter.name))
        ],
    )


def _cells(runs: Sequence[Run]) -> list[str]:
    return [
        spread(runs, lambda run: run.cpu_us, ".1f"),
        spread(runs, lambda run: run.valkey_us, ".1f"),
        spread(runs, lambda run: run.per_s, ",.0f"),
        *reading_cells(runs, _counted(*runs)),
    ]


def _counted(*runs: Run) -> str:
    if any(run.counted is None for run in runs):
        return "not checked"
    return counted(
        expected=sum(run.records for run in runs),
        records=sum((run.counted or 0) + (run.repeats or 0) for run in runs),
        different=sum(run.counted or 0 for run in runs),
        unexpected="**unknown**",
    )


def _members(results: Results) -> Iterator[str]:
    if len({run.size for run in results.members}) < 2:
        return
    yield from question(
        "How many records a second do M members of the group count?",
        "The same topic, in six partitions, and one Valkey, which does everything on one core. "
        "The time includes joining the group.",
    )
    yield from scaling_table(
        results.members,
        ["members", "records/s", "Valkey µs", "counted"],
        lambda of: [spread(of, lambda run: run.valkey_us, ".1f"), _counted(*of)],
        form=".1f",
    )


def _users(results: Results) -> Iterator[str]:
    if not results.by_users:
        return
    records = results.by_users[0].records
    yield from question(
        "Does the cost of a record grow with the number of people?",
        f"`hookline` on topics of {records:,} records. In the last third, nearly all people have "
        "been counted before.",
    )
    yield from table(
        [
            *("people", "CPU µs", "Valkey µs", "last third: CPU µs", "last third: Valkey µs"),
            *("RSS MiB", "counted", "others %"),
        ],
        [
            [
                f"{users:,}",
                spread(runs, lambda run: run.cpu_us, ".1f"),
                spread(runs, lambda run: run.valkey_us, ".1f"),
                *_late(runs),
                f"{max(run.rss_mib for run in runs):.0f}",
                _counted(*runs),
                f"{max(run.others for run in runs) * 100:.0f}",
            ]
            for users in results.users
            for runs in [[run for run in results.by_users if run.users == users]]
        ],
    )


def _questions(results: Results) -> Iterator[str]:
    if not results.asked:
        return
    per_s = spread(results.asked, lambda run: run.records / run.seconds, ",.0f")
    yield from question(
        "How long does the statistics API take to answer while one member counts?",
        f"The counts have 30 days. The member counts {per_s} records/s meanwhile; every "
        f"{ASK_S * 1000:.0f} ms one question is asked. Reads wait for the member's script calls, "
        "because Valkey has one thread.",
    )
    yield from table(
        ["", "p50 ms", "p99 ms", "max ms", "in each round", "others %"],
        [
            *([f"`{asked}`", *_times(results.asked, asked)] for asked in QUESTIONS),
            [
                "a script call of the counters in Valkey",
                *(
                    spread(results.asked, lambda run, at=percent: run.calls_ms[at], ".1f")  # type: ignore[misc]  # a default binds it
                    for percent in ("50", "99", "100")
                ),
                "",
                "",
            ],
        ],
    )


def _times(runs: Sequence[Asked], asked: str) -> list[str]:
    return [
        *(
            spread(runs, lambda run, at=percent: run.answer_ms(asked, at), ".1f")  # type: ignore[misc]  # a default binds it
            for percent in (50, 99, 100)
        ),
        f"{min(len(run.answers_ms[asked]) for run in runs):,}",
        f"{max(run.others for run in runs) * 100:.0f}",
    ]


def _late(runs: Sequence[Run]) -> list[str]:
    percentiles = [run.late_us for run in runs if run.late_us]
    if not percentiles:
        return ["", ""]
    return [
        spread(percentiles, lambda late: late[0], ".1f"),
        spread(percentiles, lambda late: late[1], ".1f"),
    ]
