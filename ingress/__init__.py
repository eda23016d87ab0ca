"""
Receive callbacks over HTTP, store them on disk, answer OK, forward them to Kafka.

To follow one callback, read:

1. http/connection.py: bytes of HTTP become a request
2. http/receiver.py and authenticator.py: the request is admitted, its callback becomes a record
3. spool/async_spool.py and spool/group_commit.py: the record is stored on disk; then OK is sent
4. forward/forwarder.py: rows go to Kafka, with the cursor, in transactions
5. health.py and admin.py: readiness, status and metrics of all this

__main__.py puts the parts together and ends them in order.
"""
