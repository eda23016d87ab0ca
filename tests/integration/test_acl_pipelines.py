"""The ACLs of two pipelines on one cluster do not reach into each other."""

from pathlib import Path

from support.acls.clients import listed
from support.acls.principals import hookline
from support.kafka.secured import SecuredBroker

from ops.acls.entry import Operation
from ops.acls.rights import INTERNAL_TOPICS
from ops.failure import ExitCode
from schemas.topics import CALLBACKS


async def topics(
    broker: SecuredBroker, prefix: str, *arguments: str, code: ExitCode | None = None
) -> str:
    """Run `hookline topics` with every right on the pipeline with this prefix."""
    env = {"HOOKLINE_BOOTSTRAP_SERVERS": broker.address, "HOOKLINE_KAFKA_PREFIX": prefix}
    return await hookline(env, "topics", *arguments, code=code or 0)


async def internal(broker: SecuredBroker, principal: str) -> set[str]:
    """Return the topics of Kafka's own that the principal may describe."""
    return {
        entry.name
        for entry in await listed(broker)
        if entry.principal == principal
        and entry.operation == Operation.DESCRIBE
        and entry.name in INTERNAL_TOPICS
    }


async def test_one_pipeline_does_not_remove_the_right_of_the_others_ingress(
    own_secured_broker: SecuredBroker, tmp_path: Path
) -> None:
    """Both name one principal; the first one has noted the ACLs on Kafka's own topics as made."""
    file, later = tmp_path / "acls.toml", tmp_path / "later.toml"
    file.write_text('[services]\ningress = ["User:shared"]\n')
    later.write_text('[services]\narchive = ["User:archive"]\n')
    for prefix in ("", "prod."):
        await topics(own_secured_broker, prefix, "apply", "--acls", str(file))
    for command in ("plan", "apply"):
        options = () if command == "plan" else ("--allow-delete",)
        output = await topics(own_secured_broker, "", command, "--acls", str(later), *options)
        assert "2 kept for other pipelines" in output
    assert await internal(own_secured_broker, "User:shared") == set(INTERNAL_TOPICS)
    # All others of the first pipeline are gone, and those of the second one are there.
    names = {
        entry.name for entry in await listed(own_secured_broker) if entry.principal == "User:shared"
    }
    assert {name for name in names if name not in INTERNAL_TOPICS} == {
        name for name in names if name.startswith("prod.")
    }
    assert f"prod.{CALLBACKS.name}" in names


async def test_a_subscriber_with_names_of_another_pipeline_is_refused(
    own_secured_broker: SecuredBroker, tmp_path: Path
) -> None:
    """Before anything is created, also by `plan`."""
    await topics(own_secured_broker, "prod.", "apply")
    file = tmp_path / "acls.toml"
    file.write_text(
        f'[[subscribers]]\nprincipal = "User:crm"\ntopics = ["{CALLBACKS.name}"]\n'
        'group_prefix = "prod.arch"\ndead_letters = "crm-dead"\n'
    )
    for command in ("plan", "apply"):
        output = await topics(
            own_secured_broker, "", command, "--acls", str(file), code=ExitCode.UNREADABLE
        )
        assert "subscribers[0].group_prefix: prod.arch also selects groups" in output
        assert "created" not in output
    assert not await listed(own_secured_broker)
