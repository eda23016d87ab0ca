"""The proof by sets says of every sequence what a plain rule for one sequence says."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ops.audit.evidence import Evidence, RequiredRange
from ops.audit.proof import OriginProof
from ops.audit.report import ARCHIVE, SinkReport
from ops.sequences import Sequences, sequence_bitmap

# Some sequences are above the end. The bitmaps change their form at multiples of 65536.
END = 1 << 16
COPIES = st.lists(st.integers(END - 5, END + 3), max_size=12)
RANGE = st.tuples(st.integers(END - 6, END), st.integers(END - 6, END + 5))


def sequences(copies: list[int], *, whole: bool = False) -> Sequences:
    """Return these sequences, and if `whole` all below those that are drawn."""
    added = Sequences()
    if whole:
        added.distinct |= sequence_bitmap(1, END - 6)
    for each in copies:
        added.add(each)
    return added


@given(places=st.tuples(COPIES, COPIES, COPIES, COPIES), expired=RANGE, known=st.booleans())
def test_every_sequence_is_judged_by_the_plain_rule(
    places: tuple[list[int], list[int], list[int], list[int]],
    expired: tuple[int, int],
    *,
    known: bool,
) -> None:
    """It is missing, doubled, a dead letter or expired, in Kafka and in a sink."""
    topic, dead, archive, consumers_dead = places
    evidence = Evidence(
        topic=sequences(topic, whole=True),
        ingress_dead_letters=sequences(dead),
        archive=sequences(archive, whole=True),
        expired_ranges={0: [expired]},
    )
    evidence.dead_letters_of[ARCHIVE] = sequences(consumers_dead)
    proof = OriginProof(evidence, RequiredRange(END, is_known=known))
    in_topic, in_dead, in_archive, in_consumers_dead = map(
        Counter, (topic, dead, archive, consumers_dead)
    )
    kafka: dict[str, list[int]] = {"missing": [], "doubled": []}
    sink: dict[str, list[int]] = {"missing": [], "doubled": [], "dead_lettered": []}
    gone = []
    for each in range(END - 5, END + 4):
        is_due = each <= END
        is_anywhere = in_topic[each] or in_dead[each] or in_archive[each]
        if is_due and not is_anywhere and expired[0] <= each <= expired[1]:
            gone.append(each)
            is_due = False
        if is_due and known and not (in_topic[each] or in_dead[each]):
            kafka["missing"].append(each)
        if in_topic[each] + in_dead[each] > 1:
            kafka["doubled"].append(each)
        must_be_archived = is_due and not in_dead[each] and (known or is_anywhere)
        if must_be_archived and not (in_archive[each] or in_consumers_dead[each]):
            sink["missing"].append(each)
        if in_archive[each] > 1:
            sink["doubled"].append(each)
        if in_consumers_dead[each] and not in_archive[each]:
            sink["dead_lettered"].append(each)
    assert list(proof.expired_at_source) == gone
    assert listed(proof.kafka()) == kafka | {"dead_lettered": []}
    assert listed(proof.sink(ARCHIVE, evidence.archive)) == sink


def listed(report: SinkReport) -> dict[str, list[int]]:
    """Return the sequences with each fault; their number must be the reported one."""
    lists = {
        "missing": report.missing_listed,
        "doubled": report.doubled_listed,
        "dead_lettered": report.dead_lettered_listed,
    }
    counts = {
        "missing": report.missing,
        "doubled": report.doubled,
        "dead_lettered": report.dead_lettered,
    }
    assert counts == {fault: len(each) for fault, each in lists.items()}
    return lists
