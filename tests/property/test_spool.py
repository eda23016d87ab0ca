"""A spool keeps every row that was answered OK, whatever its disk does."""

from hypothesis import settings
from support.spool.machine import SpoolMachine
from support.tiers import scaled

# Thousands of runs more: tests/integration/test_spool_faults.py.
TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=scaled(12), stateful_step_count=50)
