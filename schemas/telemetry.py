"""
Declare the metrics of the ingress and of the consumers, once.

docs/monitoring.md lists them and those of the statistics (consumers/stats/telemetry.py); a test
compares them.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

INGRESS_METRICS = CollectorRegistry()
CONSUMER_METRICS = CollectorRegistry()
# The metrics of a webhook, and of an archive in a directory, that other consumers do not have.
WEBHOOK_METRICS = CollectorRegistry()
ARCHIVE_METRICS = CollectorRegistry()

LATENCY_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)

INGRESS_ANSWERS = Counter(
    "ingress_answers_total",
    "Requests answered, by the answer's name",
    ["answer"],
    registry=INGRESS_METRICS,
)
INGRESS_STORE_S = Histogram(
    "ingress_store_seconds",
    "Time from receipt to the end of a successful commit, for the first callback of each commit",
    buckets=LATENCY_BUCKETS_S,
    registry=INGRESS_METRICS,
)
INGRESS_COMMIT_ROWS = Histogram(
    "ingress_commit_rows",
    "Callbacks that one commit stored on disk",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    registry=INGRESS_METRICS,
)
INGRESS_COMMIT_S = Histogram(
    "ingress_commit_seconds",
    "Time of one commit, fsync included, and of the note or quarantine that was written before it",
    buckets=LATENCY_BUCKETS_S,
    registry=INGRESS_METRICS,
)
INGRESS_SPOOL_ROWS = Gauge(
    "ingress_spool_rows",
    "Callbacks on disk that are still in this process's spool",
    registry=INGRESS_METRICS,
)
INGRESS_SPOOL_BYTES = Gauge(
    "ingress_spool_bytes", "Used pages of this process's spool, in bytes", registry=INGRESS_METRICS
)
INGRESS_SPOOL_BYTES_MAX = Gauge(
    "ingress_spool_bytes_max", "Largest allowed ingress_spool_bytes", registry=INGRESS_METRICS
)
INGRESS_DISK_FREE_BYTES = Gauge(
    "ingress_spool_disk_free_bytes",
    "Free bytes of the spool's file system; NaN if it does not answer within 0.5 s",
    registry=INGRESS_METRICS,
)
INGRESS_FULL_IN_S = Gauge(
    "ingress_spool_full_in_seconds",
    "Time until the spool is full at the rate of the last minute; +Inf while it does not grow",
    registry=INGRESS_METRICS,
)
INGRESS_OLDEST_WAITING_S = Gauge(
    "ingress_oldest_waiting_seconds",
    "Time since the request of the oldest callback in this process's spool that is not in Kafka, "
    "also while no ingress ran; 0 if there is none, +Inf if it is unreadable",
    registry=INGRESS_METRICS,
)
INGRESS_READY = Gauge(
    "ingress_ready", "1 while callbacks should be sent to this process", registry=INGRESS_METRICS
)
INGRESS_CONNECTIONS = Gauge(
    "ingress_connections", "Open connections to the public port", registry=INGRESS_METRICS
)
INGRESS_FORWARDED = Counter(
    "ingress_forwarded_total", "Callbacks committed to Kafka", registry=INGRESS_METRICS
)
INGRESS_TO_KAFKA_S = Histogram(
    "ingress_to_kafka_seconds",
    "Time from receipt until readers of Kafka see it, for the oldest callback of each transaction",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0),
    registry=INGRESS_METRICS,
)
INGRESS_FORWARD_FAILURES = Counter(
    "ingress_forward_failures_total",
    "Times that the forwarder of any spool of this process failed, and tried again",
    registry=INGRESS_METRICS,
)
INGRESS_REFUSED_BY_KAFKA = Counter(
    "ingress_refused_by_kafka_total",
    "Callbacks that Kafka refused; the dead-letter topic gets them, or else the spool's quarantine",
    registry=INGRESS_METRICS,
)
INGRESS_CURSOR_MISMATCHES = Counter(
    "ingress_cursor_mismatches_total",
    "Times that the topic was recreated, or that the cursor was gone or went back",
    registry=INGRESS_METRICS,
)
INGRESS_ROWS_QUARANTINED = Counter(
    "ingress_rows_quarantined_total",
    "Rows that went to quarantine since the start: damaged, or refused by Kafka as dead letters",
    registry=INGRESS_METRICS,
)
INGRESS_FORWARDING = Gauge(
    "ingress_forwarding",
    "1 while rows can be forwarded to Kafka; 0 after a fault of Kafka, the disk or the forwarder",
    registry=INGRESS_METRICS,
)

CONSUMER_RECORDS = Counter(
    "consumer_records_total",
    "Records that the sink has confirmed; of a webhook, those that its target has accepted",
    registry=CONSUMER_METRICS,
)
CONSUMER_BYTES = Counter(
    "consumer_bytes_total",
    "Bytes of the records in consumer_records_total: body + 32 per header + 256 per record",
    registry=CONSUMER_METRICS,
)
CONSUMER_BATCHES = Counter(
    "consumer_batches_total", "Batches whose effect is in the sink", registry=CONSUMER_METRICS
)
CONSUMER_DEAD_LETTERS = Counter(
    "consumer_dead_letters_total",
    "Records written to the dead-letter topic",
    registry=CONSUMER_METRICS,
)
CONSUMER_RETRIES = Counter(
    "consumer_retries_total",
    "Waits of a partition because its sink, the dead-letter topic or Kafka was unavailable",
    registry=CONSUMER_METRICS,
)
CONSUMER_BACKING_OFF = Gauge(
    "consumer_partitions_backing_off",
    "Partitions of this process that wait for their sink, the dead-letter topic or Kafka; NaN while"
    " it is not in its group",
    registry=CONSUMER_METRICS,
)
CONSUMER_LAG = Gauge(
    "consumer_lag_offsets",
    "Offsets of this process's partitions that are not in the sink; NaN while that is not known",
    registry=CONSUMER_METRICS,
)
CONSUMER_OLDEST_S = Gauge(
    "consumer_oldest_waiting_seconds",
    "Time since the request of the callback that the sink gets next, in the partition where it is "
    "longest: with the time on an ingress's disk; NaN while that is not known",
    registry=CONSUMER_METRICS,
)
CONSUMER_OLDEST_IN_KAFKA_S = Gauge(
    "consumer_oldest_in_kafka_seconds",
    "For how long the oldest record that is not in the sink has been in Kafka: the lag of the "
    "consumer; NaN while that is not known",
    registry=CONSUMER_METRICS,
)
CONSUMER_KAFKA_UP = Gauge(
    "consumer_kafka_up",
    "1 if Kafka has answered within 20 s, 0 while it does not answer; NaN while that is not known",
    registry=CONSUMER_METRICS,
)
CONSUMER_SINK_UP = Gauge(
    "consumer_sink_up",
    "1 if the sink's last answers were good, 0 while it fails; NaN while that is not known",
    registry=CONSUMER_METRICS,
)
CONSUMER_STOPPED = Gauge(
    "consumer_stopped",
    "1 while the consumer has stopped, for any reason, and waits for a person",
    registry=CONSUMER_METRICS,
)
CONSUMER_HANGING = Gauge(
    "consumer_hanging",
    "1 while the loop or a write of the process hangs: restart it",
    registry=CONSUMER_METRICS,
)
CONSUMER_BRAKED = Gauge(
    "consumer_braked",
    "1 while the brake is on: the consumer rejected too many records and waits for a person",
    registry=CONSUMER_METRICS,
)
CONSUMER_POSITION_RESETS = Counter(
    "consumer_position_resets_total",
    "Times that the consumer dropped its held records and continued at the sink's position",
    registry=CONSUMER_METRICS,
)
CONSUMER_REBALANCES = Counter(
    "consumer_rebalances_total", "Assignments received from the group", registry=CONSUMER_METRICS
)
CONSUMER_HELD_BYTES = Gauge(
    "consumer_held_bytes",
    "Estimated memory of the records that are not yet in the sink; packed records count as packed",
    registry=CONSUMER_METRICS,
)

ARCHIVE_DISK_FREE_BYTES = Gauge(
    "archive_disk_free_bytes",
    "Free bytes of the file system of the archive's directory; NaN if it does not answer within "
    "0.5 s",
    registry=ARCHIVE_METRICS,
)

WEBHOOK_DELIVERIES = Counter(
    "webhook_deliveries_total",
    "Requests to the target by result: `delivered`, `failed` (tried again), `refused` (dead "
    "letter) or `gone` (410)",
    ["result"],
    registry=WEBHOOK_METRICS,
)
WEBHOOK_DELIVERY_S = Histogram(
    "webhook_delivery_seconds",
    "Time of one request to the target, the answer included",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    registry=WEBHOOK_METRICS,
)
WEBHOOK_PARKED_RECORDS = Gauge(
    "webhook_parked_records",
    "Callbacks of this process's partitions that wait in the retry topic",
    registry=WEBHOOK_METRICS,
)
WEBHOOK_PARKED_FILL = Gauge(
    "webhook_parked_fill_ratio",
    "Part of the retry topic's bounds that the fullest partition has used; at 1 it pauses",
    registry=WEBHOOK_METRICS,
)
WEBHOOK_PARKED_CONVERSATIONS = Gauge(
    "webhook_parked_conversations",
    "Conversations whose callbacks wait in the retry topic",
    registry=WEBHOOK_METRICS,
)
WEBHOOK_PARKED_OLDEST_S = Gauge(
    "webhook_parked_oldest_seconds",
    "Time since the request of the first callback of a partition in the retry topic, in the "
    "partition where it is longest; 0 if there is none",
    registry=WEBHOOK_METRICS,
)
WEBHOOK_PARKED_FAILING_S = Gauge(
    "webhook_parked_failing_seconds",
    "Time since the first failed attempt of the callback in the retry topic that has failed for "
    "the longest time; 0 if none has failed since it was parked or sent again",
    registry=WEBHOOK_METRICS,
)
WEBHOOK_CIRCUIT_OPEN = Gauge(
    "webhook_circuit_open",
    "1 while the target counts as down and nothing is delivered",
    registry=WEBHOOK_METRICS,
)
