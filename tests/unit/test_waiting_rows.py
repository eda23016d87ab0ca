"""The number of the stage "On disk" is that of the callbacks that wait there, of all spools."""

import pytest
from support.pipeline_states import an_ingress, measured, stage

from schemas.ingress_status import SpoolSummary


def test_rows_that_kafka_has_do_not_wait() -> None:
    """They stay in the file until their block is removed."""
    replica = an_ingress(origin="a", last_sequence=1000, forwarded_sequence=990, spool_rows=400)
    assert stage("on_disk", measured([replica])).number == 10


def test_rows_of_spools_that_no_process_holds_wait_too() -> None:
    """Each spool counts once, also if two replicas see it; another replica's only by itself."""
    left = SpoolSummary(name="c", origin="c", last_sequence=70, rows=7)
    unknown = SpoolSummary(name="d")
    first = an_ingress(
        origin="a",
        last_sequence=10,
        forwarded_sequence=10,
        spool_rows=10,
        spools=(SpoolSummary(name="a", origin="a", rows=10), left, unknown),
    )
    second = an_ingress(
        origin="b",
        last_sequence=5,
        forwarded_sequence=2,
        spool_rows=5,
        spools=(SpoolSummary(name="renamed", origin="b", rows=5), left),
    )
    assert stage("on_disk", measured([first, second])).number == 3 + 7


@pytest.mark.parametrize("is_first", [True, False])
def test_a_spool_counts_by_the_replica_that_has_read_it(*, is_first: bool) -> None:
    """The other replicas of the directory list it, and know only its name."""
    drains = an_ingress(spool_rows=0, spools=(SpoolSummary(name="c", origin="c", rows=7),))
    sees = an_ingress(spool_rows=0, spools=(SpoolSummary(name="c"),))
    what = measured([drains, sees] if is_first else [sees, drains])
    assert stage("on_disk", what).number == 7


@pytest.mark.parametrize("is_first", [True, False])
def test_a_damaged_spool_is_reported_by_the_replica_that_has_read_it(*, is_first: bool) -> None:
    """A replica that knows only the name does not hide the damage; two reports are one spool."""
    knows = an_ingress(spools=(SpoolSummary(name="c", origin="c", rows=0, quarantined=(7,)),))
    sees = an_ingress(spools=(SpoolSummary(name="c"),))
    what = measured([knows, knows, sees] if is_first else [sees, knows, knows])
    assert stage("on_disk", what).state == "warning"
    assert stage("on_disk", what).what.en.startswith("1 ")


def test_a_replica_of_an_earlier_release_counts_its_rows() -> None:
    """It does not report both sequences."""
    assert stage("on_disk", measured([an_ingress(spool_rows=12)])).number == 12
