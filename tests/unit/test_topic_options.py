"""The options of `hookline topics`."""

from click.testing import CliRunner

from ops.cli import main


def test_the_number_of_replicas_is_also_a_variable() -> None:
    """docker-compose.ha.yml sets it; a number out of bounds shows that it is read."""
    done = CliRunner().invoke(main, ["topics", "apply"], env={"TOPICS_REPLICAS": "101"})
    assert done.exit_code == 2
    assert "--replicas: must be from 1 to 100" in done.output
