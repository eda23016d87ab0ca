"""`hookline spool` changes nothing on the disk, and shows rows as printable text."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unicodedata import category

import pytest
from click.testing import CliRunner, Result
from support.builders import a_body, a_callback
from support.own_disk import read_only

from ingress.spool import verification
from ingress.spool.directory import hold_any
from ingress.spool.row import encode
from ingress.spool.spool import Spool
from ops.audit.ends_reader import read_ends
from ops.cli import main
from ops.spool import SpoolNotShown, spool_show
from schemas.outgoing_record import main_topic_record

HOSTILE = "\x1b]0;x\x07\r\n\x9b\u202e[bold]x[/nosuch]"


def hookline(*arguments: object) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, [str(each) for each in arguments])


def a_spool(directory: Path, *commands: str) -> Spool:
    """Return a spool with a row for each command; this process holds it."""
    spool = hold_any(directory, bytes_max=1 << 20)
    records = [main_topic_record(a_callback(a_body(CallbackCommand=each))) for each in commands]
    spool.writer.commit([encode(record, 5) for record in records], 0)
    return spool


def state_of(directory: Path) -> dict[str, tuple[object, ...]]:
    """Return everything that a command could change: names, sizes, contents and times."""
    return {
        path.name: (
            path.stat().st_size,
            path.stat().st_mtime_ns,
            path.stat().st_ino,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in (directory, *directory.iterdir())
    }


def test_a_spool_that_cannot_be_verified_is_not_said_to_be_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its owner would look for an ingress that does not run."""
    spool = a_spool(tmp_path, "a")
    arguments = ["--spool", str(tmp_path), spool.name]
    held = CliRunner().invoke(spool_show, arguments).exception
    assert isinstance(held, SpoolNotShown)
    assert f"another process holds spool {spool.name}" in str(held)
    spool.close()
    monkeypatch.setattr(
        verification, "VERIFY_COMMAND", (sys.executable, "-c", "raise SystemExit(9)")
    )
    unverified = CliRunner().invoke(spool_show, arguments).exception
    assert isinstance(unverified, SpoolNotShown)
    assert "could not be verified: the verifier ended with exit code 9" in str(unverified)


async def test_the_commands_and_the_audit_change_nothing(tmp_path: Path) -> None:
    """Neither sound, held, new nor corrupt files, nor the files that LMDB would make or remove."""
    held = a_spool(tmp_path, "held")
    left = a_spool(tmp_path, "left", "behind")
    left.close()
    copied, new, corrupt = "1" * 16, "2" * 16, "0" * 16
    shutil.copy(tmp_path / f"{left.name}.lmdb", tmp_path / f"{copied}.lmdb")
    (tmp_path / f"{new}.lmdb").touch()
    (tmp_path / f"{corrupt}.lmdb").write_bytes(b"garbage" * 4096)
    (tmp_path / f"{left.name}.lmdb-lock").write_bytes(b"of a process that was killed")
    before = state_of(tmp_path)
    listed = hookline("spool", "ls", "--spool", tmp_path)
    assert listed.exit_code == 0
    lines = {line.split()[0]: line for line in listed.stdout.splitlines()}
    assert "2 callbacks, 2 in the file" in lines[left.name]
    assert "0 callbacks, 0 in the file" in lines[new]
    assert "held by a running ingress" in lines[held.name]
    assert f"{corrupt}.lmdb is corrupt: " in lines[corrupt]
    assert "It was not changed; copy it now." in lines[corrupt]
    assert "fails its checksum" in lines[copied]
    codes = {
        name: hookline("spool", "show", "--spool", tmp_path, name).exit_code
        for name in (held.name, left.name, copied, new, corrupt)
    }
    assert codes == {held.name: 1, left.name: 0, copied: 1, new: 0, corrupt: 1}
    ends = await read_ends([], tmp_path)
    assert ends.by_spool[left.name] == {left.name: 2}
    assert state_of(tmp_path) == before
    held.close()


def test_the_commands_work_where_they_may_only_read(tmp_path: Path) -> None:
    """A copy on a read-only file system is how a person looks at a damaged machine."""
    spool = a_spool(tmp_path, "left")
    spool.close()
    prefix = read_only(tmp_path)
    written = subprocess.run([*prefix, "touch", tmp_path / "new"], capture_output=True, check=False)
    assert b"Read-only file system" in written.stderr
    hookline_command: list[str | Path] = [sys.executable, "-m", "ops.cli", "spool"]
    commands: list[list[str | Path]] = [
        ["ls", "--spool", tmp_path],
        ["show", "--spool", tmp_path, spool.name],
    ]
    for arguments in commands:
        shown = subprocess.run(
            [*prefix, *hookline_command, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (shown.returncode, shown.stderr) == (0, "")
        assert spool.name in shown.stdout or "left" in shown.stdout


def test_rows_and_names_of_files_are_shown_as_printable_text(tmp_path: Path) -> None:
    """A callback cannot control the terminal of the person who looks at it."""
    spool = a_spool(tmp_path, HOSTILE, "plain")
    spool.close()
    shown = hookline("spool", "show", "--spool", tmp_path, spool.name)
    assert shown.exit_code == 0
    hostile, plain = shown.stdout.splitlines()
    assert r"\x1b]0;x\x07\r\n\x9b\u202e[bold]x[/nosuch]" in hostile
    assert "plain" in plain
    in_json = hookline("spool", "show", "--spool", tmp_path, spool.name, "--json")
    (tmp_path / os.fsdecode(b"0123456789abcdef.lmdb.corrupt-\x1b]0;\n\xff\xe2\x80\xae")).touch()
    listed = hookline("spool", "ls", "--spool", tmp_path)
    listed_json = hookline("spool", "ls", "--spool", tmp_path, "--json")
    missing = hookline("spool", "show", "--spool", tmp_path, HOSTILE)
    for result, line_count in ((in_json, 2), (listed, 2), (listed_json, 2)):
        assert result.exit_code == 0
        assert result.stdout.count("\n") == line_count
        text = result.stdout.replace("\n", "")
        assert not [each for each in text if category(each) in ("Cc", "Cf", "Cs")]
    assert missing.exit_code == 2
