"""A topic that is recreated or restored under consumers, with faults at every await."""

from collections import Counter
from collections.abc import Callable

from support.simulation.simulated_topics import TopicRun


def test_records_of_a_changed_topic_are_never_mixed_with_the_old_ones(
    scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """All processes stop with the reason, or continue if the sink was not past the copy."""
    faults: Counter[str] = Counter()
    seeds = scaled(25)
    for seed in range(seeds):
        run = TopicRun(seed).go()
        assert run.wrong == [], f"seed {seed}: {run.wrong}"
        faults += run.faults
    say(
        f"{seeds} schedules: recreated {faults['recreate']} times, restored {faults['restore']}; "
        f"{faults['stopped']} processes stopped, {faults['went on after restore']} runs went on "
        f"with a copy that had all, {faults['went on after recreate']} with sinks that had nothing"
    )
    assert faults["went on after restore"] < faults["restore"] / 2
    assert faults["went on after recreate"] < faults["recreate"] / 4
