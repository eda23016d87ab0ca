"""The spools of a directory belong to one pipeline."""

import contextlib
import errno
import os
import subprocess
from pathlib import Path

import pytest

from ingress.spool import prefix_note
from ingress.spool.directory import hold_any, spool_names
from ingress.spool.prefix_note import NOTE, OtherPipeline, check_or_note_prefix


def a_spool(directory: Path) -> None:
    """Make a spool in the directory."""
    with contextlib.closing(hold_any(directory, bytes_max=1 << 20)):
        pass


@pytest.mark.parametrize("prefix", ["", "prod."])
def test_the_spools_are_of_the_pipeline_that_made_them(tmp_path: Path, prefix: str) -> None:
    """Processes that start later have the same prefix; others are refused."""
    directory = tmp_path / "new" / "spool"
    check_or_note_prefix(directory, prefix)
    a_spool(directory)
    check_or_note_prefix(directory, prefix)
    for other in {"", "prod.", "test."} - {prefix}:
        with pytest.raises(OtherPipeline, match=f'have the prefix "{prefix}" .* not "{other}"'):
            check_or_note_prefix(directory, other)
    assert len(spool_names(directory)) == 1


def test_a_process_that_starts_meanwhile_with_the_same_prefix_refuses_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has noted the prefix and made a spool when this process looks for spools."""

    def late(directory: Path) -> list[str]:
        monkeypatch.undo()
        check_or_note_prefix(directory, "prod.")
        a_spool(directory)
        return spool_names(directory)

    monkeypatch.setattr(prefix_note, "spool_names", late)
    check_or_note_prefix(tmp_path, "prod.")
    assert len(spool_names(tmp_path)) == 1


@pytest.mark.parametrize("prefix", ["", "prod."])
def test_the_note_holds_before_there_is_a_spool(tmp_path: Path, prefix: str) -> None:
    """Two processes that start together cannot both make spools with prefixes of their own."""
    check_or_note_prefix(tmp_path, prefix)
    for other in {"", "prod.", "test."} - {prefix}:
        with pytest.raises(OtherPipeline):
            check_or_note_prefix(tmp_path, other)
    assert [path.name for path in tmp_path.iterdir()] == [NOTE]


def test_a_note_that_cannot_be_written_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is started again and again on a full disk does not fill the directory."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        check_or_note_prefix(tmp_path, "")
    assert list(tmp_path.iterdir()) == []


def test_spools_without_a_note_are_those_of_an_earlier_release_or_unknown(tmp_path: Path) -> None:
    """With a prefix, the text names both cases; its command works. Without one, they are used."""
    directory = tmp_path / "the spools"
    a_spool(directory)
    check_or_note_prefix(directory, "")
    with pytest.raises(OtherPipeline, match=r"not the file kafka-prefix .* made without") as raised:
        check_or_note_prefix(directory, "prod.")
    assert [path.name for path in directory.glob(f"{NOTE}*")] == []
    command = str(raised.value).split("make it: ")[1].split(". See")[0]
    subprocess.run(["sh", "-c", command], check=True)  # noqa: S607 - the shell
    check_or_note_prefix(directory, "prod.")
    with pytest.raises(OtherPipeline, match=r'have the prefix "prod\."'):
        check_or_note_prefix(directory, "")


@pytest.mark.parametrize("content", [b"prod.\n", b" prod. \r\n", b"prod."])
def test_a_note_that_a_person_wrote_is_read_without_white_space(
    tmp_path: Path, content: bytes
) -> None:
    """Editors and echo add a line feed."""
    (tmp_path / NOTE).write_bytes(content)
    check_or_note_prefix(tmp_path, "prod.")


def test_a_note_that_is_not_text_is_of_another_pipeline(tmp_path: Path) -> None:
    """It cannot be compared, and the error shows it."""
    (tmp_path / NOTE).write_bytes(b"\xff")
    for prefix in ("", "prod."):
        with pytest.raises(OtherPipeline, match="have the prefix"):
            check_or_note_prefix(tmp_path, prefix)
