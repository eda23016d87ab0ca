"""A broker with TLS, SASL and ACLs, as a company runs one."""

import json
from base64 import urlsafe_b64encode
from pathlib import Path
from time import time

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import SaslAuthenticationFailed
from aiokafka.protocol.admin import CreateAclsRequest, DescribeAclsRequest
from support.kafka.broker import LONG_SESSION_MS, Broker
from support.kafka.certificates import Certificates
from support.kafka.scram import set_scram_password
from support.made_once import make_once
from support.processes.ingress import until

from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka, formatted_storage
from schemas.clients import started

# The certificates are valid for this name, and not for 127.0.0.1.
HOST = "localhost"
# The user that has every right; others have only what `allow` adds.
ADMIN, USER, PASSWORD = "admin", "hookline", "first-secret"
# The listeners beside the plain one, whose users are anonymous and have every right.
SCRAM, PLAIN, OAUTH = "SCRAM", "PLAIN", "OAUTH"
MUTUAL, EXPIRED, WITHOUT_TLS = "MUTUAL", "EXPIRED", "WITHOUT_TLS"
_LISTENERS = {
    SCRAM: "SASL_SSL",
    PLAIN: "SASL_SSL",
    OAUTH: "SASL_SSL",
    MUTUAL: "SSL",
    EXPIRED: "SSL",
    WITHOUT_TLS: "SASL_PLAINTEXT",
}
# Numbers of Kafka's protocol: org.apache.kafka.common.acl and .resource.
OPERATIONS = {
    "All": 2,
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Delete": 6,
    "Alter": 7,
    "Describe": 8,
    "DescribeConfigs": 10,
    "AlterConfigs": 11,
    "IdempotentWrite": 12,
}
RESOURCES = {"Topic": 2, "Group": 3, "Cluster": 4, "TransactionalId": 5}
_LITERAL, _PREFIXED, _ALLOW = 3, 4, 3
_SECURITY = "org.apache.kafka.common.security"
_SCRAM_LOGIN = f"{_SECURITY}.scram.ScramLoginModule required;"
_PROPERTIES = f"""\
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,{{listeners}}
inter.broker.listener.name=PLAINTEXT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{ADMIN}
ssl.principal.mapping.rules=RULE:^.*CN=([^,]+).*$/$1/
ssl.keystore.type=PEM
ssl.keystore.location={{keystore}}
ssl.truststore.type=PEM
ssl.truststore.location={{truststore}}
listener.name.mutual.ssl.client.auth=required
listener.name.expired.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.location={{expired}}
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
listener.name.scram.scram-sha-256.sasl.jaas.config={_SCRAM_LOGIN}
listener.name.scram.scram-sha-512.sasl.jaas.config={_SCRAM_LOGIN}
listener.name.without_tls.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.without_tls.scram-sha-512.sasl.jaas.config={_SCRAM_LOGIN}
listener.name.plain.sasl.enabled.mechanisms=PLAIN
listener.name.plain.plain.sasl.jaas.config={_SECURITY}.plain.PlainLoginModule required \
user_{USER}="{PASSWORD}" user_{ADMIN}="{PASSWORD}";
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config={_SECURITY}.oauthbearer.OAuthBearerLoginModule \
required unsecuredLoginStringClaim_sub="broker";
"""
_FORMAT_OPTIONS = [
    f"--add-scram={mechanism}=[name={user},password={PASSWORD}]"
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
    for user in (ADMIN, USER)
]


def _format(scratch: Path) -> Path:
    kafka = EmbeddedKafka(scratch, format_options=_FORMAT_OPTIONS)
    kafka.format()
    return kafka.data


class SecuredBroker(Broker):
    """A broker whose `address` is plain, with every right; `address_of` has the other listeners."""

    def __init__(
        self, directory: Path, *, session_ms: int = LONG_SESSION_MS, properties: str = ""
    ) -> None:
        """Prepare one; ADMIN and USER have PASSWORD."""
        self._directory = directory
        self.certificates = Certificates(directory / "certificates")
        self._ports = {listener: child.free_port() for listener in _LISTENERS}
        security = _PROPERTIES.format(
            listeners=",".join(f"{name}:{protocol}" for name, protocol in _LISTENERS.items()),
            keystore=self.certificates.server(HOST),
            truststore=self.certificates.authority,
            expired=self.certificates.expired_server(HOST),
        )
        super().__init__(
            directory,
            session_ms=session_ms,
            properties=security + properties,
            more_listeners=[f"{name}://{HOST}:{port}" for name, port in self._ports.items()],
            format_options=_FORMAT_OPTIONS,
        )
        make_once(formatted_storage(_FORMAT_OPTIONS), _format)

    def address_of(self, listener: str, host: str = HOST) -> str:
        """Return HOST:PORT of `listener`."""
        return f"{host}:{self._ports[listener]}"

    def env(self, listener: str, *, user: str = USER, password: str = PASSWORD) -> dict[str, str]:
        """
        Return the variables with which a process of Hookline uses `listener`.

        SCRAM means SCRAM-SHA-512. The files that they name are written again by each call.
        """
        protocol = _LISTENERS[listener]
        env = {"BOOTSTRAP_SERVERS": self.address_of(listener), "KAFKA_SECURITY_PROTOCOL": protocol}
        if protocol.endswith("SSL"):
            env["KAFKA_CA_FILE"] = str(self.certificates.authority)
        if listener == MUTUAL:
            env["KAFKA_CERTIFICATE_FILE"] = str(self.certificates.client(user))
        elif listener == OAUTH:
            token = self.secret_file(f"{user}-token", unsecured_token(user))
            env |= {"KAFKA_SASL_MECHANISM": "OAUTHBEARER", "KAFKA_TOKEN_COMMAND": f"cat {token}"}
        elif listener in (SCRAM, PLAIN, WITHOUT_TLS):
            env |= {
                "KAFKA_SASL_MECHANISM": "PLAIN" if listener == PLAIN else "SCRAM-SHA-512",
                "KAFKA_USER_FILE": str(self.secret_file(f"{user}-name", user)),
                "KAFKA_PASSWORD_FILE": str(self.secret_file(f"{user}-password", password)),
            }
        return {f"HOOKLINE_{name}": value for name, value in env.items()}

    def secret_file(self, name: str, content: str) -> Path:
        """Return a new file with `content` that only its owner may read."""
        path = self._directory / name
        path.touch(mode=0o600)
        path.write_text(content + "\n")
        return path

    async def set_password(self, user: str, password: str) -> None:
        """Set the password of `user`, which may be new, for SCRAM-SHA-512; wait for it."""
        await set_scram_password(self.address, user, password)

        async def counts() -> bool:
            try:
                connection = await create_conn(
                    HOST,
                    self._ports[WITHOUT_TLS],
                    security_protocol="SASL_PLAINTEXT",
                    sasl_mechanism="SCRAM-SHA-512",
                    sasl_plain_username=user,
                    sasl_plain_password=password,
                )
            except SaslAuthenticationFailed:
                return False
            connection.close()
            return True

        await until(counts, f"the new password of {user} is accepted")

    async def allow(self, operation: str, resource: str, name: str, *, user: str = USER) -> None:
        """
        Give `user` the right to `operation` on a resource; see OPERATIONS and RESOURCES.

        On return the broker uses it: its controller answers a moment earlier. A `name` that ends
        in `*` is a prefix. The name of the cluster is `kafka-cluster`.
        """
        is_prefix = name.endswith("*") and name != "*"
        entry = (
            RESOURCES[resource],
            name.removesuffix("*") if is_prefix else name,
            _PREFIXED if is_prefix else _LITERAL,
            f"User:{user}",
            "*",
            OPERATIONS[operation],
            _ALLOW,
        )
        async with started(AIOKafkaClient(bootstrap_servers=self.address), 180) as client:
            node = client.get_random_node()
            response = await client.send(node, CreateAclsRequest(*entry))
            ((error, message),) = response.creation_responses
            assert error == 0, message

            async def is_used() -> bool:
                return bool((await client.send(node, DescribeAclsRequest(*entry))).resources)

            await until(is_used, f"the broker lists that {user} may {operation} {name}")


def unsecured_token(subject: str, *, valid_s: float = 3600) -> str:
    """Return a bearer token that the listener OAUTH accepts: it has a claim and no signature."""
    # A broker whose clock is a fraction of a second behind would reject a token of this moment.
    claims = {"sub": subject, "iat": time() - 60, "exp": time() + valid_s}
    parts = ({"alg": "none"}, claims)
    encoded = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    return b".".join(encoded).decode() + "."
