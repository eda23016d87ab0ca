"""The access to a broker of the tests, which has neither TLS nor SASL."""

from schemas.kafka_access import KafkaAccess


def plaintext(address: str) -> KafkaAccess:
    """Return the access to the broker at `address`."""
    return KafkaAccess(bootstrap_servers=address, client_id="hookline-test")
