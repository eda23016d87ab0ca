-- Version 5: comments that say exactly what these tables and columns have; nothing else changes.
comment on table hookline.receipts is
    'Each callback that an ingress stored, also one without an answer, repeats included: what hookline audit compares';
comment on column hookline.receipts.origin is
    'Name under which the spool numbered the callback, 16 hex digits: its own, or another one since its file was restored from an older copy';
comment on column hookline.receipts.sequence is 'Number within the origin: 1, 2, 3, ...';
comment on column hookline.positions.topic is
    'Topic in Kafka, without the prefix of the pipeline (HOOKLINE_KAFKA_PREFIX)';
comment on table hookline.schema_version is
    'The oldest version of sync that may still write these tables; migrations has the version of the tables';
comment on column hookline.schema_version.version is
    'The oldest version that may write, not that of the tables: a version is the number of the last migration that a release has';
