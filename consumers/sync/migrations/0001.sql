-- Version 1 of the tables that docs/contract.md describes, as release 0.1.0 created them.
create table hookline.schema_version (
    version integer primary key
);
insert into hookline.schema_version values (1);

-- The position of each partition. The statement that writes the rows below moves it, too.
create table hookline.positions (
    topic text,
    partition integer,
    next_offset bigint not null,
    last_offset bigint,       -- the last record before it: its offset, origin and sequence;
    last_origin text,         -- all three are null before the first record
    last_sequence bigint,
    topic_id text,            -- Kafka's id of the topic; null if Kafka reports none
    primary key (topic, partition)
);

-- Every callback by the place where it was stored, repeats included: the unit of proof.
create table hookline.receipts (
    origin text,
    sequence bigint,
    ce_id text not null,
    received_at timestamptz not null,
    primary key (origin, sequence)
);

-- Every message once, however often the sender repeated its callback.
-- body is in a form that PostgreSQL can always query (consumers/sync/queryable.py). If a part of it
-- had to be replaced, altered is true and raw has the exact bytes.
create table hookline.messages (
    ce_id text primary key,
    sdkappid text not null,
    command text not null,
    sender text,
    recipient text,
    group_id text,
    received_at timestamptz not null,
    client_ip text,
    platform text,
    body jsonb not null,
    altered boolean not null,
    raw bytea,
    body_sha256 bytea not null, -- of the exact body
    sent_at timestamptz,
    message_seq bigint,
    message_random bigint,
    message_key text,
    result bigint
);
create index messages_received_at on hookline.messages (received_at);

-- Every callback of another command once.
create table hookline.events (
    ce_id text primary key,
    sdkappid text not null,
    command text not null,
    sender text,
    recipient text,
    group_id text,
    received_at timestamptz not null,
    client_ip text,
    platform text,
    body jsonb not null,
    altered boolean not null,
    raw bytea,
    body_sha256 bytea not null
);
create index events_received_at on hookline.events (received_at);
