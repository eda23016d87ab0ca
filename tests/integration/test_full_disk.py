"""A spool on a disk without a free page still takes the notes that its forwarder needs."""

import subprocess
import sys
from pathlib import Path

from support.own_disk import mounted_disk, own_disk

DISK_BYTES = 4 << 20
# Fills the disk with rows and then with another file, and notes an abort twice after each.
PROGRAM = """
import contextlib
import sys
from pathlib import Path

from ingress.spool.directory import hold_any
from ingress.spool.disk import DiskFailed

disk = Path(sys.argv[1])
spool = hold_any(disk / "spools", bytes_max=1 << 30)
with contextlib.suppress(DiskFailed):
    while True:
        spool.writer.commit([b"row" * 200] * int(sys.argv[2]), 0)
for _ in range(2):
    spool.writer.store_aborted_origin(spool.origin)
    spool.writer.store_aborted_origin("")
    with contextlib.suppress(OSError), (disk / "other").open("ab", buffering=0) as other:
        while other.write(bytes(4096)):
            pass
print("noted", spool.last_sequence)
"""


def test_an_abort_can_be_noted_on_a_full_disk(tmp_path: Path) -> None:
    """
    So a full disk does not keep the forwarder from sending what is on it.

    LMDB uses the pages again that its last commits have freed.
    """
    disk = mounted_disk(tmp_path)
    for rows_per_commit in (1, 50):
        filled = subprocess.run(
            [
                *own_disk(disk, DISK_BYTES),
                *(sys.executable, "-c", PROGRAM, str(disk), str(rows_per_commit)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert filled.stdout.startswith("noted "), filled.stderr
        assert int(filled.stdout.split()[1]) > DISK_BYTES // 2 // 600
