"""The benchmark itself, briefly: it runs and counts; how fast is no matter here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"^```sh\n(.*?)^```$", (ROOT / "bench" / "README.md").read_text(), re.DOTALL | re.MULTILINE
)


def shell(block: str) -> str:
    """Run a block of the page where a reader would, and return what it prints."""
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euc", block],  # noqa: S607 - the reader's shell
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(120)
def test_the_short_benchmark_prints_figures_and_every_ok_is_in_kafka() -> None:
    """The quick command of the page, as it stands there."""
    output = shell(BLOCKS[1])
    rows = {
        cells[1].strip("`"): cells
        for line in output.splitlines()
        if line.startswith("| 64 |")
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }
    assert set(rows) == {"hookline", "bare_aiohttp"}
    ours = rows["hookline"]
    assert all(re.fullmatch(r"[\d,.]+", cell) for cell in (*ours[2:7], *ours[9:]))
    assert ours[7] == ours[8] != "0"
    assert rows["bare_aiohttp"][8] == "none"
    assert re.search(
        r"^\| OK/s of hookline / bare_aiohttp \| ≥ 0.77 \| \d\.\d\d \|", output, re.MULTILINE
    )


def test_the_whole_benchmark_is_what_make_runs() -> None:
    """It takes too long to be run here."""
    assert "python -m bench.ingress" in shell(f"make --dry-run --assume-old=setup {BLOCKS[0][5:]}")
    assert BLOCKS[0] == "make bench-ingress\n"
    assert len(BLOCKS) == 2
