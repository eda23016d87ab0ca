-- Version 6: comments: on hookline.positions, that name the rows of commands, too, and on receipts; nothing else changes.
comment on table hookline.receipts is
    'Each callback of the topic tim.callbacks.v1 that sync has written, repeats included; no dead letter is here: what hookline audit compares';
comment on table hookline.positions is
    'Where sync, and each hookline replay sync that has not ended, continues in each partition of Kafka, and one row of hookline dead-letters resend sync; only Hookline may write here';
comment on column hookline.positions.topic is
    'Topic in Kafka, without the prefix of the pipeline (HOOKLINE_KAFKA_PREFIX): a row of sync. replay:...: a row of a replay of tim.callbacks.v1. tim.callbacks.dead.v1: the row of hookline dead-letters resend sync';
comment on column hookline.positions.partition is
    'Partition of the topic; of tim.callbacks.dead.v1 always 0';
comment on column hookline.positions.next_offset is
    'Offset that sync, or the replay, expects next; of tim.callbacks.dead.v1 not an offset, but the number of callbacks that were sent';
comment on column hookline.positions.last_offset is
    'Offset of the last record before next_offset; null in rows of commands';
comment on column hookline.positions.topic_id is
    'Id that Kafka gave the topic; of a replay, the id of the topic that is replayed';
