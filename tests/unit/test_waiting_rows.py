"""The number of the stage "On disk" is that of the callbacks that wait there, of all spools."""

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


def test_a_replica_of_an_earlier_release_counts_its_rows() -> None:
    """It does not report both sequences."""
    assert stage("on_disk", measured([an_ingress(spool_rows=12)])).number == 12
