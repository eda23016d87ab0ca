"""Set a password in Kafka by a request, as docker compose does; Kafka's own tool starts a JVM."""

from aiokafka.client import AIOKafkaClient
from scram_users import AlterUsers

from schemas.clients import started


async def set_scram_password(address: str, user: str, password: str) -> None:
    """Set the password of `user`, which may be new, for SCRAM-SHA-512."""
    async with started(AIOKafkaClient(bootstrap_servers=address), 180) as client:
        answer = await client.send(client.get_random_node(), AlterUsers({user: password}))
        errors = {name: (code, message) for name, code, message, _ in answer.results}
        assert errors[user][0] == 0, errors[user][1]
