"""From the spool to Kafka: one transaction carries the rows and the cursor."""
