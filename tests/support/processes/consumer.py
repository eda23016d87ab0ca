"""One `python -m consumers NAME` from outside: its process, its admin port, its group."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import GroupIdNotFound
from aiokafka.protocol.admin import DeleteGroupsRequest
from aiokafka.protocol.group import LeaveGroupRequest
from support.kafka.admin import admin_client
from support.processes.forked import ForkedProcess
from support.processes.ingress import Answer, get, until

from ops.demo.embedded import child

# The broker's answers to the removal of a group that is not there afterwards.
GONE = {0, GroupIdNotFound.errno}


class Consumer:
    """A member of the group `name`, which may be killed, frozen, or stopped."""

    def __init__(
        self,
        name: str,
        kafka: str,
        log: Path,
        *,
        env: Mapping[str, str] = MappingProxyType({}),
        **settings: object,
    ) -> None:
        """Prepare one; `settings` are the consumer's own in lower case, `env` other variables."""
        self.name = name
        self.log = log
        self.port = child.free_port()
        # The metrics as last read, so that those of a killed member are known.
        self.metrics: dict[str, float] = {}
        self._env = {f"{name.upper()}_{key.upper()}": str(value) for key, value in settings.items()}
        self._env |= {
            "HOOKLINE_BOOTSTRAP_SERVERS": kafka,
            "HOOKLINE_LOG_FORMAT": "text",
            "CONSUMER_ADMIN_PORT": str(self.port),
            **env,
        }
        # A test may set the command of a consumer that is not one of the product's own.
        self.command: Sequence[str] = ()
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None

    @property
    def process(self) -> subprocess.Popen[bytes] | ForkedProcess:
        """Return the process that was launched last."""
        assert self._process is not None
        return self._process

    @property
    def runs(self) -> bool:
        """Return whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start the process."""
        env, log = os.environ | self._env, self.log
        if self.command:
            self._process = child.start(self.command, log=log, env=env)
        else:
            self._process = ForkedProcess(
                "support.processes.forked_services:consumers",
                ["consumers", self.name],
                env=env,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """Kill the process as a crash would, if there is one."""
        if self.runs:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """Send SIGTERM to the process, and do not wait for its end."""
        self.process.send_signal(signal.SIGTERM)

    def freeze(self) -> None:
        """Stop the process by SIGSTOP: it does not notice that its partitions move."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue a frozen process."""
        self.process.send_signal(signal.SIGCONT)

    def has_open(self, directory: Path) -> bool:
        """Return whether the process has a file open there, named or anonymous."""
        for fd in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if fd.readlink().is_relative_to(directory):
                    return True
        return False

    def rss_bytes(self) -> int:
        """Return the resident memory of the process."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    async def get(self, path: str) -> Answer | None:
        """Return the answer of the admin port, None if there is none."""
        return await get(self.port, path)

    async def reason_to_stop(self) -> str | None:
        """Return why it waits for a person, None if it does not or has no admin port."""
        answer = await self.get("/status")
        stopped = json.loads(answer.body)["stopped"] if answer else None
        return str(stopped["what"]) if stopped else None

    async def measure(self) -> dict[str, float]:
        """Return its present or last metrics, by their names without CONSUMER_."""
        if answer := await self.get("/metrics"):
            lines = (line.rpartition(" ") for line in answer.body.decode().splitlines())
            self.metrics = {
                name.removeprefix("consumer_"): float(value)
                for name, _, value in lines
                if name.startswith("consumer_")
            }
        return self.metrics


async def members(kafka: str, group: str) -> tuple[str, list[str]]:
    """Return the state of a group as the broker has it, and its members' ids."""
    async with admin_client(kafka) as admin:
        groups: Any = await admin.describe_consumer_groups([group])
    described = groups[0].groups[0]
    return described[2], sorted(member[0] for member in described[5])


async def bury(kafka: str, group: str) -> None:
    """
    Remove every member from a group by LeaveGroup requests in the members' names.

    The broker removes dead members only after 10 s, and lets the living ones wait for that long.
    """
    _, dead = await members(kafka, group)
    async with _client(kafka) as client:
        for member in dead:
            await client.send(client.get_random_node(), LeaveGroupRequest(group, member))


async def remove_topics_and_groups(kafka: str) -> None:
    """Remove all topics except Kafka's own, and all groups, whose members are dead."""
    async with admin_client(kafka) as admin:
        topics = [name for name in await admin.list_topics() if not name.startswith("__")]
        await admin.delete_topics(topics)

    async def no_group_is_left() -> bool:
        return not await _remove_groups(kafka)

    # A slow broker may admit a member only now that had asked for it before it was killed.
    await until(no_group_is_left, "the broker has no groups")


async def _remove_groups(kafka: str) -> dict[str, int]:
    """Remove all groups; return those that the broker did not remove, with its errors."""
    async with admin_client(kafka) as admin:
        groups = dict(await admin.list_consumer_groups())
    for group, kind in groups.items():
        if kind == "consumer":
            await bury(kafka, group)
    async with _client(kafka) as client:
        deleted = await client.send(client.get_random_node(), DeleteGroupsRequest([*groups]))
    # A group is gone already if its last position was in a topic that was deleted.
    return {group: error for group, error in deleted.results if error not in GONE}


@contextlib.asynccontextmanager
async def _client(kafka: str) -> AsyncIterator[Any]:
    client = AIOKafkaClient(bootstrap_servers=kafka)
    await client.bootstrap()
    try:
        yield client
    finally:
        await client.close()
