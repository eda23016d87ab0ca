"""The spools of a directory belong to one pipeline."""

import contextlib
from pathlib import Path

import pytest

from ingress.spool.directory import hold_any, spool_names
from ingress.spool.prefix_note import NOTE, OtherPipeline, check_prefix


def a_spool(directory: Path) -> None:
    """Make a spool in the directory."""
    with contextlib.closing(hold_any(directory, bytes_max=1 << 20)):
        pass


@pytest.mark.parametrize("prefix", ["", "prod."])
def test_the_spools_are_of_the_pipeline_that_made_them(tmp_path: Path, prefix: str) -> None:
    """Processes that start later have the same prefix; others are refused."""
    directory = tmp_path / "new" / "spool"
    check_prefix(directory, prefix)
    a_spool(directory)
    check_prefix(directory, prefix)
    for other in {"", "prod.", "test."} - {prefix}:
        with pytest.raises(OtherPipeline, match=f'have the prefix "{prefix}" .* not "{other}"'):
            check_prefix(directory, other)
    assert len(spool_names(directory)) == 1


def test_the_note_holds_before_there_is_a_spool(tmp_path: Path) -> None:
    """Two processes that start together cannot both make spools with prefixes of their own."""
    check_prefix(tmp_path, "prod.")
    with pytest.raises(OtherPipeline):
        check_prefix(tmp_path, "")
    with pytest.raises(OtherPipeline):
        check_prefix(tmp_path, "test.")
    assert [path.name for path in tmp_path.iterdir()] == [NOTE]
