"""The spool: callbacks on disk until Kafka has acknowledged them."""
