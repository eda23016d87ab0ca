"""Three brokers that check ACLs, and that are clients with a principal themselves."""

import re
from pathlib import Path

from support.kafka.broker import session
from support.kafka.certificates import Certificates

from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from schemas.kafka_access import KafkaAccess, kafka_access

HOST = "localhost"
ADMIN = "admin"
# The brokers' own principal, with which they speak to each other and to the controller.
BROKER = "broker"
COUNT = 3
# A killed broker is fenced after this time.
SESSION_MS = 3000
_PROPERTIES = """\
process.roles={roles}
node.id={node}
controller.quorum.bootstrap.servers={host}:{controller_port}
listeners=MUTUAL://{host}:{port}{controller}
advertised.listeners=MUTUAL://{host}:{port}{controller}
listener.security.protocol.map=CONTROLLER:SSL,MUTUAL:SSL
inter.broker.listener.name=MUTUAL
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{broker};User:{admin}
ssl.principal.mapping.rules=RULE:^.*CN=([^,]+).*$/$1/
ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
offsets.topic.replication.factor={count}
transaction.state.log.replication.factor={count}
transaction.state.log.min.isr=2
"""


class SecuredCluster:
    """All connections have TLS with certificates of both sides."""

    def __init__(self, directory: Path) -> None:
        """Prepare the brokers; the first one is the controller, too."""
        self._directory = directory
        self._certificates = Certificates(directory / "certificates")
        keystore = self._certificates.server(HOST, BROKER)
        controller_port = child.free_port()
        self.brokers: dict[int, EmbeddedKafka] = {}
        for node in range(1, COUNT + 1):
            own = directory / f"broker-{node}"
            properties = own / "server.properties"
            kafka = self.brokers[node] = EmbeddedKafka(own)
            lines = _PROPERTIES.format(
                roles="broker,controller" if node == 1 else "broker",
                node=node,
                host=HOST,
                port=kafka.port,
                controller_port=controller_port,
                controller=f",CONTROLLER://{HOST}:{controller_port}" if node == 1 else "",
                broker=BROKER,
                admin=ADMIN,
                keystore=keystore,
                truststore=self._certificates.authority,
                count=COUNT,
            )
            # Of two lines about the same setting, the last one counts.
            with properties.open("a") as file:
                file.write(lines + session(SESSION_MS))

    def start(self) -> None:
        """Start all brokers, first the one that is the controller."""
        first = self.brokers[1]
        first.format()
        meta = (first.data / "meta.properties").read_text()
        (cluster,) = re.findall("(?m)^cluster.id=(.*)$", meta)
        for node, kafka in self.brokers.items():
            if kafka is not first:
                # All that Kafka's tool would write for a broker that is not a controller.
                kafka.data.mkdir()
                lines = f"version=1\ncluster.id={cluster}\nnode.id={node}\n"
                (kafka.data / "meta.properties").write_text(lines)
            kafka.start()

    def kill(self) -> None:
        """Kill all brokers."""
        for kafka in self.brokers.values():
            kafka.kill()

    def env(self, user: str, *nodes: int) -> dict[str, str]:
        """Return the variables of a process that is `User:user` and first asks these brokers."""
        ports = [self.brokers[node].port for node in nodes or self.brokers]
        return {
            "HOOKLINE_BOOTSTRAP_SERVERS": ",".join(f"{HOST}:{port}" for port in ports),
            "HOOKLINE_KAFKA_SECURITY_PROTOCOL": "SSL",
            "HOOKLINE_KAFKA_CA_FILE": str(self._certificates.authority),
            "HOOKLINE_KAFKA_CERTIFICATE_FILE": str(self._certificates.client(user)),
        }

    def access(self, user: str, *nodes: int) -> KafkaAccess:
        """Return the same as the access of this process."""
        env = self.env(user, *nodes)
        return kafka_access(env.pop("HOOKLINE_BOOTSTRAP_SERVERS"), env)
