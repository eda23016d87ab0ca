"""A spool on a disk that changes bytes: no wrong row is read, and no crash repeats for ever."""

import multiprocessing
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from support.builders import a_wire_record

from ingress.spool.directory import hold_any
from ingress.spool.disk import Corrupt, DiskFailed, LimitReached
from ingress.spool.row import DamagedCallback, encode

BYTES_MAX = 8 << 20
ROWS = 300


def a_spool_file(directory: Path) -> Path:
    """Leave a used spool: many commits, rows of many sizes, some of them removed."""
    spool = hold_any(directory, bytes_max=BYTES_MAX)
    for at in range(0, ROWS, 10):
        contents = [
            encode(
                a_wire_record(n, b'{"CallbackCommand":"X","t":"%s"}' % (b"x" * (n * 37 % 9000))), n
            )
            for n in range(at, at + 10)
        ]
        spool.writer.commit(contents, at // 3)
    spool.close()
    return directory / f"{spool.name}.lmdb"


def expected(number: int) -> bytes:
    """Return the body of the row `number`."""
    return b'{"CallbackCommand":"X","t":"%s"}' % (b"x" * ((number - 1) * 37 % 9000))


def use(directory: Path, name: str) -> None:
    """Use a spool as an ingress does; exit with the outcome."""
    try:
        spool = hold_any(directory, bytes_max=BYTES_MAX)
        if spool.name != name:
            sys.exit(10)  # renamed
        damaged, after = 0, spool.state.first_sequence - 1
        waiting = set(range(after + 1, ROWS + 1))
        while True:
            try:
                rows = spool.rows_after(after, rows_max=50, bytes_max=BYTES_MAX)
            except DamagedCallback as damage:
                spool.writer.quarantine(damage.sequence)
                damaged, after = damaged + 1, damage.sequence
                continue
            if not rows:
                break
            for row in rows:
                if row.record.value != expected(row.sequence):
                    sys.exit(12)
                waiting.remove(row.sequence)
            after = rows[-1].sequence
        if spool.last_sequence != ROWS or not waiting <= set(spool.state.quarantined_sequences):
            sys.exit(14)  # a number would be given twice, or rows are missing in silence
        spool.writer.commit([encode(a_wire_record(1), 1)], after)
        sys.exit(11 if damaged else 0)
    except (Corrupt, DiskFailed, LimitReached):
        sys.exit(13)


@pytest.mark.timeout(600)
def test_damaged_spools_give_no_wrong_row_and_no_crash_loop(
    tmp_path: Path, scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """A row's checksum fails, or the file is renamed, at the latest by the next start."""
    trials = scaled(25, at_most=200)
    original = a_spool_file(tmp_path / "original")
    content = original.read_bytes()
    context = multiprocessing.get_context("fork")
    came: Counter[str] = Counter()
    for trial in range(trials):
        chance = random.Random(trial)  # noqa: S311 - where to damage
        damaged = bytearray(content)
        for _ in range(chance.choice([1, 1, 1, 8, 200])):
            at = chance.randrange(len(damaged))
            length = chance.choice([1, 1, 64, 4096])
            damaged[at : at + length] = chance.randbytes(len(damaged[at : at + length]))
        directory = tmp_path / "trial"
        directory.mkdir()
        (directory / original.name).write_bytes(damaged)
        code: int | None = None
        for _start in range(2):
            process = context.Process(target=use, args=(directory, original.stem))
            process.start()
            process.join(180)
            code = process.exitcode
            if code in (0, 10, 11):
                break
        said = {0: "unharmed", 10: "renamed", 11: "quarantined"}.get(code or 0, f"ended {code}")
        came[said] += 1
        assert code in (0, 10, 11), f"trial {trial}: {said}"
        shutil.rmtree(directory)
    say(f"{trials} damaged spools: {dict(came)}")
    assert came["renamed"] > trials // 20
    assert came["quarantined"] > trials // 20
