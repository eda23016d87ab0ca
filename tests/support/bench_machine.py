"""A machine for tests of the benchmarks' pages."""

from bench.machine import Machine

MACHINE = Machine(
    cpu="a CPU",
    cores=2,
    memory_gib=4,
    file_system="ext4",
    kernel="6",
    python="3",
    kafka="4",
)
