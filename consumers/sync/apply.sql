-- Write a batch's rows and the partition's position in one statement: all of it, or nothing.
-- If the position is not the expected one, or of another topic, or if only a later release may write the tables, `moved`
-- is empty, and nothing is written, because every insert joins it. A rival waits for the row lock of `update` and
-- compares again when the lock is free.
-- Arrays are sent in binary (b): in text, the client would escape each character in Python.
with moved as (
    update hookline.positions
    set next_offset = %(next_offset)s,
        last_offset = %(last_offset)s, last_origin = %(last_origin)s,
        last_sequence = %(last_sequence)s,
        topic_id = coalesce(%(kafka_topic_id)s, positions.topic_id)
    where topic = %(topic)s and partition = %(partition)s and next_offset = %(begins_at)s
        -- The comparison is null if an older broker reports no id. (messages.topic_id is the topic of a community.)
        and coalesce(topic_id = %(kafka_topic_id)s, true)
        and not exists (select from hookline.schema_version where version > %(tables_version)s)
    returning 1
), new_receipts as (
    insert into hookline.receipts (origin, sequence, ce_id, received_at)
    select new.*
    from moved, unnest(
        %(receipts.origin)b::text[], %(receipts.sequence)b::bigint[], %(receipts.ce_id)b::text[],
        %(receipts.received_at)b::timestamptz[]
    ) as new
    on conflict (origin, sequence) do nothing
    returning origin, sequence
), new_messages as (
    insert into hookline.messages (
        ce_id, sdkappid, command, sender, recipient, group_id, received_at, client_ip, platform,
        body, altered, raw, body_sha256,
        sent_at, message_seq, message_random, message_key, result,
        topic_id, message_id, online_only, delivered, element_types, text
    )
    select
        new.ce_id, new.sdkappid, new.command, new.sender, new.recipient, new.group_id,
        new.received_at, new.client_ip, new.platform,
        new.body, new.altered, new.raw, new.body_sha256,
        new.sent_at, new.message_seq, new.message_random, new.message_key, new.result,
        new.topic_id, new.message_id, new.online_only, new.delivered,
        new.element_types::text[], new.text
    from moved, unnest(
        %(messages.ce_id)b::text[], %(messages.sdkappid)b::text[], %(messages.command)b::text[],
        %(messages.sender)b::text[], %(messages.recipient)b::text[], %(messages.group_id)b::text[],
        %(messages.received_at)b::timestamptz[], %(messages.client_ip)b::text[],
        %(messages.platform)b::text[], %(messages.body)b::jsonb[],
        %(messages.altered)b::boolean[], %(messages.raw)b::bytea[],
        %(messages.body_sha256)b::bytea[],
        %(messages.sent_at)b::timestamptz[], %(messages.message_seq)b::bigint[],
        %(messages.message_random)b::bigint[], %(messages.message_key)b::text[],
        %(messages.result)b::bigint[],
        %(messages.topic_id)b::text[], %(messages.message_id)b::text[],
        %(messages.online_only)b::boolean[], %(messages.delivered)b::boolean[],
        %(messages.element_types)b::text[], %(messages.text)b::text[]
    ) as new (
        ce_id, sdkappid, command, sender, recipient, group_id, received_at, client_ip, platform,
        body, altered, raw, body_sha256,
        sent_at, message_seq, message_random, message_key, result,
        topic_id, message_id, online_only, delivered, element_types, text
    )
    on conflict (ce_id) do nothing
    returning ce_id
), new_events as (
    insert into hookline.events (
        ce_id, sdkappid, command, sender, recipient, group_id, received_at, client_ip, platform,
        body, altered, raw, body_sha256
    )
    select new.*
    from moved, unnest(
        %(events.ce_id)b::text[], %(events.sdkappid)b::text[], %(events.command)b::text[],
        %(events.sender)b::text[], %(events.recipient)b::text[],
        %(events.group_id)b::text[], %(events.received_at)b::timestamptz[],
        %(events.client_ip)b::text[], %(events.platform)b::text[],
        %(events.body)b::jsonb[], %(events.altered)b::boolean[],
        %(events.raw)b::bytea[], %(events.body_sha256)b::bytea[]
    ) as new
    on conflict (ce_id) do nothing
    returning ce_id
), dropped as (
    -- Rows that are neither new nor existed before: a trigger dropped them without an error, or another
    -- partition has written the same callback meanwhile (database.py tries again then).
    select 'receipts' as of_table
    from moved
    where exists (
        select
        from (
            select *
            from unnest(%(receipts.origin)b::text[], %(receipts.sequence)b::bigint[])
            except select origin, sequence from new_receipts
        ) as rest (origin, sequence)
        where not exists (
            select from hookline.receipts as old
            where old.origin = rest.origin and old.sequence = rest.sequence
        )
    )
    union all
    select 'messages'
    from moved
    where exists (
        select
        from (
            select unnest(%(messages.ce_id)b::text[]) except select ce_id from new_messages
        ) as rest (ce_id)
        where not exists (select from hookline.messages as old where old.ce_id = rest.ce_id)
    )
    union all
    select 'events'
    from moved
    where exists (
        select
        from (
            select unnest(%(events.ce_id)b::text[]) except select ce_id from new_events
        ) as rest (ce_id)
        where not exists (select from hookline.events as old where old.ce_id = rest.ce_id)
    )
)
select
    (select count(*) from moved),
    -- This casts a text to a number on purpose: the error has the text, and undoes all that the statement wrote.
    (
        select ('a trigger drops rows of hookline.' || min(of_table) || ' without an error')::integer
        from dropped
        having count(*) > 0
    )
