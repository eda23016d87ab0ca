"""A spool keeps every row that was answered OK under any faults of its disk."""

from hypothesis import settings
from support.spool.failing_lmdb import Fault
from support.spool.machine import SpoolMachine
from support.tiers import scaled

# tests/integration/test_spool_faults.py does thousands of runs.
TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=scaled(12), stateful_step_count=50)


def test_an_origin_of_an_uncertain_commit_is_known_before_the_next_write() -> None:
    """The machine said that a row in quarantine stays, which the spool had rightly removed."""
    machine = SpoolMachine()
    machine.begin()
    machine.commit(sizes=[10], is_full=False, probe=False, fault=None)
    machine.refuse(fault=None)
    machine.start_new_origin(fault=Fault(5, "EIO", commit_is_kept=True))
    assert not machine.is_certain, "the fault is to hit the commit"
    machine.adopt()
    machine.teardown()
