"""The benchmark of the counters: simulated callbacks that differ, and what is concluded."""

import itertools
from collections import Counter
from dataclasses import replace

import orjson
import pytest
from support.bench_machine import MACHINE

from bench.counters.__main__ import Plan
from bench.counters.callbacks import APP, RATE, Traffic, callbacks
from bench.counters.goals import Results, goals
from bench.counters.measure import Run
from bench.counters.questions import QUESTIONS, Asked
from bench.counters.tables import markdown
from bench.scale.cores import assign
from schemas.outgoing_record import ID, main_topic_record

BEGINS_AT_MS = 1_800_000_000_000


def some(users: int, number: int, *, first: int = 0, step: int = 1) -> list[dict[str, object]]:
    """Return the bodies of the first callbacks."""
    traffic = Traffic(users=users, begins_at_ms=BEGINS_AT_MS, first=first, step=step)
    return [
        orjson.loads(callback.body) for callback in itertools.islice(callbacks(traffic), number)
    ]


def test_no_callback_of_any_producer_is_a_repeat() -> None:
    """A repeat would be counted apart, so a topic with repeats would look cheaper or dearer."""
    ids = Counter(
        dict(main_topic_record(callback).headers)[ID]
        for first in range(3)
        for callback in itertools.islice(
            callbacks(Traffic(users=10, begins_at_ms=BEGINS_AT_MS, first=first, step=3)), 3000
        )
    )
    assert len(ids) == 9000


def test_every_person_writes_in_turn_and_in_one_conversation() -> None:
    """So a topic of any size has the number of people that was asked for, if it is long enough."""
    messages = [body for body in some(1000, 1000) if "To_Account" in body]
    pairs = Counter(frozenset((body["From_Account"], body["To_Account"])) for body in messages)
    assert set(Counter(person for pair in pairs for person in pair).values()) == {1}
    # 780 messages of 500 pairs.
    assert len(pairs) == 500
    assert set(pairs.values()) == {1, 2}
    assert {body["To_Account"] for body in some(1, 100) if "To_Account" in body} == {"user0"}


def test_times_advance_by_the_rate_however_fast_they_are_made() -> None:
    """Otherwise a million callbacks would be of one minute, which nothing has to be kept for."""
    traffic = Traffic(users=10, begins_at_ms=BEGINS_AT_MS, first=1, step=3)
    made = list(itertools.islice(callbacks(traffic), 101))
    assert made[-1].received_at_ms - made[0].received_at_ms == 300 * 1000 // RATE
    assert {callback.sdkappid for callback in made} == {APP}
    for callback in made:
        body = orjson.loads(callback.body)
        assert int(body["EventTime"]) == callback.received_at_ms
        assert body["CallbackCommand"] == callback.url_command


def a_run(counter: str = "hookline", **changed: object) -> Run:
    """Return a run of one member over 1,000 records in a second, each counted once."""
    ours = {"counted": 1000, "repeats": 0, "late_us": (8.0, 4.0)} if counter == "hookline" else {}
    usual = {
        "users": 10,
        "size": 1,
        "round": 0,
        "cores": assign(range(3), servers=1, has_load=False, has_valkey=True),
        "records": 1000,
        "seconds": 1.0,
        "cpu_s": 0.008,
        "valkey_s": 0.004,
        "kafka_s": 0.001,
        "others": 0.0,
        "rss_mib": 50.0,
    }
    return Run(counter=counter, **(usual | ours | changed))  # type: ignore[arg-type]


def met(results: Results) -> dict[str, bool | None]:
    """Return whether each goal is met."""
    return {goal.what: goal.met for goal in goals(results)}


def test_goals_of_the_counters_compare_runs_of_one_round() -> None:
    """The second round ran at a tenth of the speed, which changes no ratio."""
    results = Results(
        compared=[
            a_run(counter, round=number, cpu_s=cpu_s * slow, valkey_s=0.004 * slow)
            for number, slow in enumerate((1, 10, 1))
            for counter, cpu_s in (("hookline", 0.008), ("incr_pfadd", 0.03), ("quix_window", 0.02))
        ]
    )
    by_name = {goal.what: goal for goal in goals(results)}
    both = by_name["CPU of member and Valkey / `incr_pfadd`"]
    assert both.rounds == pytest.approx([12 / 34] * 3)
    assert both.met is True
    assert by_name["Valkey's CPU / `incr_pfadd`"].rounds == pytest.approx([1] * 3)
    assert by_name["CPU of member and Valkey / `quix_window`"].met is False
    assert by_name["a member's CPU / `counting_tamed`"].met is None
    assert by_name["Valkey's CPU a record"].measured == pytest.approx(4)
    assert by_name["a member's CPU a record"].met is True


def test_members_are_no_part_of_the_comparison_with_peers() -> None:
    """A goal is for one member."""
    results = Results(compared=[a_run(), a_run(size=2, cpu_s=9)])
    assert met(results)["a member's CPU a record"] is True
    assert len(results.members) == 2


def test_the_cost_of_many_people_is_that_of_the_last_third() -> None:
    """Before that, people are counted for the first time; the middle size decides nothing."""
    what = "CPU of member and Valkey a record, with the most people / with the fewest"
    few, some_people, many = (
        a_run(users=users, late_us=late)
        for users, late in ((1, (6.0, 4.0)), (9, (99.0, 9.0)), (99, (9.0, 5.0)))
    )
    assert met(Results(by_users=[many, some_people, few]))[what] is True
    assert met(Results(by_users=[replace(many, late_us=(12.0, 5.0)), few]))[what] is False
    assert met(Results(by_users=[replace(many, round=1), few]))[what] is None
    assert met(Results(by_users=[few]))[what] is None


@pytest.mark.parametrize(
    "changed", [{"counted": 999}, {"counted": 1001}, {"counted": 999, "repeats": 1}, {"repeats": 1}]
)
def test_a_record_that_is_counted_never_twice_or_as_a_repeat_is_wrong(
    changed: dict[str, int],
) -> None:
    """It fails the command, and the table names it."""
    assert a_run().wrong == a_run("incr_pfadd").wrong == 0
    results = Results(compared=[replace(a_run(), **changed)])  # type: ignore[arg-type]  # numbers
    assert results.wrong > 0
    row = next(line for line in page(results) if line.startswith("| `hookline`"))
    assert "**" in row


def page(results: Results) -> list[str]:
    """Return the lines of the page."""
    return markdown(results, MACHINE, rounds=1).splitlines()


def test_the_page_shows_only_what_was_measured_and_which_rows_shared_cores() -> None:
    """Peers are not checked; a machine with too few cores is named before the results."""
    few = assign(range(2), servers=2, has_load=False, has_valkey=True)
    own = a_run("quix_window")
    lines = page(Results(compared=[a_run(), a_run(size=2, cores=few), own], left_out="X is absent"))
    assert "**X is absent.**" in lines
    assert any("rows marked “shared” need 4." in line for line in lines)
    assert [line.split(" | ")[5] for line in lines if line.startswith("| `")] == [
        "1,000",
        "not checked",
    ]
    assert [line.split(" | ")[-2] for line in lines if line[:4] in ("| 1 ", "| 2 ")] == [
        "1 + 1 Kafka + 1 Valkey",
        "shared",
    ]
    assert not any("number of people" in line for line in lines)
    quiet = page(Results(by_users=[a_run(), a_run(users=99)]))
    assert not any("**" in line for line in quiet)
    assert "| 99 | 8.0 | 4.0 | 8.0 | 4.0 | 50 | 1,000 | 0 |" in quiet


def an_asked_run(**changed: object) -> Asked:
    """Return a run with 200 answers to each question, of 1 ms to 20 ms."""
    usual: dict[str, object] = {
        "round": 0,
        "records": 1000,
        "seconds": 2.0,
        "answers_ms": dict.fromkeys(QUESTIONS, tuple(at / 10 + 0.1 for at in range(200))),
        "calls_ms": {"50": 3.0, "99": 8.0, "100": 9.0},
        "others": 0.0,
    }
    return Asked(**(usual | changed))  # type: ignore[arg-type]  # as the class has them


def test_goals_of_questions_are_percentiles_of_each_round() -> None:
    """Each question has its goal; the longest call of the script, not the usual one, counts."""
    met_goals = met(Results(asked=[an_asked_run()]))
    assert [met_goals[f"p99 of `{asked}` while one member counts"] for asked in QUESTIONS] == [
        True
    ] * 2
    assert met_goals["longest script call in Valkey meanwhile"] is True
    slow = an_asked_run(
        answers_ms={QUESTIONS[0]: (1.0,) * 98 + (30.0,) * 2, QUESTIONS[1]: (1.0,) * 99 + (30.0,)},
        calls_ms={"50": 3.0, "99": 8.0, "100": 101.0},
    )
    met_goals = met(Results(asked=[slow]))
    assert [met_goals[f"p99 of `{asked}` while one member counts"] for asked in QUESTIONS] == [
        False,
        True,
    ]
    assert met_goals["longest script call in Valkey meanwhile"] is False
    lines = page(Results(asked=[an_asked_run()]))
    assert "| `/v1/summary` | 10.0 | 19.8 | 20.0 | 200 | 0 |" in lines
    assert "| a script call of the counters in Valkey | 3.0 | 8.0 | 9.0 |  |  |" in lines
    assert any("counts 500 records/s" in line for line in lines)


def test_a_history_is_spread_over_thirty_days_before_the_others() -> None:
    """So days that are over exist; the last callback of the history is just before the others."""
    traffic = Traffic(users=10, begins_at_ms=BEGINS_AT_MS, history=60)
    made = [callback.received_at_ms for callback in itertools.islice(callbacks(traffic), 62)]
    assert made[0] == BEGINS_AT_MS - 30 * 86_400_000
    assert {after - before for before, after in itertools.pairwise(made[:61])} == {43_200_000}
    assert made[60:] == [BEGINS_AT_MS, BEGINS_AT_MS + 1000 // RATE]


def test_ours_is_measured_once_with_one_member() -> None:
    """Its run is in both tables."""
    plan = Plan(
        only=("hookline", "incr_pfadd", "members"),
        records=1,
        rounds=1,
        members=(1, 2),
        people=(),
        people_records=1,
        history=1,
        questions_records=1,
    )
    assert plan.turns == [("hookline", 1), ("incr_pfadd", 1), ("hookline", 2)]
    assert replace(plan, only=("members",)).turns == [("hookline", 1), ("hookline", 2)]
    assert replace(plan, only=("people",)).turns == []
