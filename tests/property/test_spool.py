"""A spool keeps every row that was answered OK under any faults of its disk."""

from hypothesis import settings
from support.spool.machine import SpoolMachine
from support.tiers import scaled

# tests/integration/test_spool_faults.py does thousands of runs.
TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=scaled(12), stateful_step_count=50)
