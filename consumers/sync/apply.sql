-- A batch's rows and the partition's position in one statement: all of it, or nothing.
-- Nothing where the position is not the expected one: `moved` is empty then, and so is what is
-- joined with it. A rival waits for the row lock of `update` and compares anew when it is free.
with moved as (
    update hookline.positions
    set next_offset = %(next_offset)s,
        -- None where every record of the batch was set aside.
        origin = coalesce(%(origin)s, positions.origin),
        sequence = coalesce(%(sequence)s, positions.sequence)
    where topic = %(topic)s and partition = %(partition)s and next_offset = %(begins_at)s
    returning 1
), new_receipts as (
    insert into hookline.receipts (origin, sequence, ce_id, received_at)
    select new.*
    from moved, unnest(
        %(receipts.origin)s::text[], %(receipts.sequence)s::bigint[], %(receipts.ce_id)s::text[],
        %(receipts.received_at)s::timestamptz[]
    ) as new
    on conflict do nothing
), new_messages as (
    insert into hookline.messages (
        ce_id, sdkappid, command, sender, recipient, group_id, received_at, client_ip, platform,
        body, sent_at, message_seq, message_random, message_key, result
    )
    select new.*
    from moved, unnest(
        %(messages.ce_id)s::text[], %(messages.sdkappid)s::text[], %(messages.command)s::text[],
        %(messages.sender)s::text[], %(messages.recipient)s::text[], %(messages.group_id)s::text[],
        %(messages.received_at)s::timestamptz[], %(messages.client_ip)s::text[],
        %(messages.platform)s::text[], %(messages.body)s::json[],
        %(messages.sent_at)s::timestamptz[], %(messages.message_seq)s::bigint[],
        %(messages.message_random)s::bigint[], %(messages.message_key)s::text[],
        %(messages.result)s::bigint[]
    ) as new
    on conflict do nothing
), new_callbacks as (
    insert into hookline.callbacks (
        ce_id, sdkappid, command, sender, recipient, group_id, received_at, client_ip, platform,
        body
    )
    select new.*
    from moved, unnest(
        %(callbacks.ce_id)s::text[], %(callbacks.sdkappid)s::text[], %(callbacks.command)s::text[],
        %(callbacks.sender)s::text[], %(callbacks.recipient)s::text[],
        %(callbacks.group_id)s::text[], %(callbacks.received_at)s::timestamptz[],
        %(callbacks.client_ip)s::text[], %(callbacks.platform)s::text[],
        %(callbacks.body)s::json[]
    ) as new
    on conflict do nothing
)
select count(*) from moved
