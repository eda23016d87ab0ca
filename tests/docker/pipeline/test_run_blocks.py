"""Every block of docker compose in the docs was run by the other tests of this folder."""

from support.docs_blocks import blocks
from support.processes.compose_project import Project

# tests/docker/test_three_brokers.py runs the drill.
BLOCKS = {
    block
    for block in blocks("sh")
    if block.startswith("docker compose") and "drill.jsonl" not in block
}


def test_every_block_of_docker_compose_was_run(project: Project) -> None:
    """This module is the last one, so that a block of the docs that no test runs makes it fail."""
    assert project.ran == BLOCKS
