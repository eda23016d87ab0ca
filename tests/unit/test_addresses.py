"""The processes that have one name: which of them are asked."""

from consumers.stats.addresses import ADDRESSES_MAX, MISSED_S, Addresses, RecentAddresses
from consumers.stats.resolved_url import ResolvedUrl


def test_a_process_that_has_left_the_name_is_missed_for_some_time() -> None:
    """An orchestrator takes a dead one out of the name at once; it must not look well then."""
    members = RecentAddresses()
    assert members.note(["10.0.0.1", "10.0.0.2"], 0.0) == ["10.0.0.1", "10.0.0.2"]
    assert members.note(["10.0.0.2"], 2.0) == ["10.0.0.1", "10.0.0.2"]
    assert members.note(["10.0.0.2"], MISSED_S - 0.1) == ["10.0.0.1", "10.0.0.2"]
    assert members.note(["10.0.0.2"], MISSED_S) == ["10.0.0.2"]


def test_a_new_process_takes_the_place_of_one_that_has_left() -> None:
    """After a restart in place, nothing is missed."""
    members = RecentAddresses()
    members.note(["10.0.0.1", "10.0.0.2"], 0.0)
    members.note(["10.0.0.2"], 2.0)
    assert members.note(["10.0.0.2", "10.0.0.3"], 4.0) == ["10.0.0.2", "10.0.0.3"]


def test_a_name_that_cannot_be_resolved_keeps_its_processes_for_some_time() -> None:
    """They are asked at their old addresses."""
    members = RecentAddresses()
    members.note(["10.0.0.1"], 0.0)
    assert members.note([], 2.0) == ["10.0.0.1"]
    assert members.note([], MISSED_S) == []


def test_the_number_of_addresses_is_bounded() -> None:
    """A name server may answer anything."""
    named = [f"10.0.{number // 256}.{number % 256}" for number in range(1000)]
    assert len(RecentAddresses().note(named, 0.0)) == ADDRESSES_MAX


async def test_an_address_is_the_name_of_one_process() -> None:
    """It needs no name server."""
    addresses = Addresses("http://127.0.0.1:8081")
    try:
        found = await addresses.find(10.0)
        assert found == [ResolvedUrl("http://127.0.0.1:8081", "127.0.0.1:8081", "127.0.0.1")]
    finally:
        await addresses.close()
