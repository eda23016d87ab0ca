-- Version 3: which events are about which message.
-- A view, so an event is found whether it came before or after its message, and events that a program of an
-- earlier version writes are found, too. It never fails on a body of an unusual form.

-- The sequences of messages that a group's event names; the first 100 of a list count, as the vendor sends.
create function hookline.named_sequences(body jsonb) returns setof text
language sql immutable parallel safe
as $$
    select distinct element ->> 'MsgSeq'
    from jsonb_array_elements(
        case
            when jsonb_typeof(body -> 'MsgSeqList') = 'array' then body -> 'MsgSeqList'
            when jsonb_typeof(body -> 'GroupMsgReceiptList') = 'array' then body -> 'GroupMsgReceiptList'
            else jsonb_build_array(body)
        end
    ) as element
    limit 100
$$;

-- The time in a read report; null if it is not a number of seconds.
create function hookline.read_until(body jsonb) returns timestamptz
language sql immutable parallel safe
as $$
    select to_timestamp(
        case when body ->> 'LastReadTime' ~ '^[0-9]{1,11}$' then (body ->> 'LastReadTime')::float8 end
    )
$$;

-- The view below as a function, into which PostgreSQL looks when it plans a query. A view would forbid owners
-- to alter the type of the columns that it reads.
create function hookline.find_message_events()
returns table (
    message text, event text, kind text, command text, received_at timestamptz, body jsonb
)
language sql stable
as $$
-- One-to-one messages: the event names the MsgKey and both accounts.
select
    m.ce_id as message, e.ce_id as event,
    case e.command
        when 'C2C.CallbackAfterMsgWithDraw' then 'recall'
        when 'C2C.CallbackAfterModifyMsg' then 'edit'
        when 'C2C.CallbackAfterC2CMsgExtension' then 'extension'
        when 'ContentCallback.ResultNotify' then 'moderation'
        else 'other'
    end as kind,
    e.command, e.received_at, e.body
from hookline.messages as m
join hookline.events as e
    on left(coalesce(e.body ->> 'MsgKey', e.body ->> 'MsgID'), 128) = m.message_key
    and e.sdkappid = m.sdkappid
    and (
        (e.sender = m.sender and e.recipient = m.recipient)
        or (e.sender = m.recipient and e.recipient = m.sender)
    )
union all
-- Messages of groups: the event names the group and the MsgSeq, in a topic also the topic.
select
    m.ce_id, e.ce_id,
    case e.command
        when 'Group.CallbackAfterRecallMsg' then 'recall'
        when 'Group.CallbackAfterModifyMsg' then 'edit'
        else 'read'
    end,
    e.command, e.received_at, e.body
from hookline.events as e
cross join lateral hookline.named_sequences(e.body) as named (sequence)
join hookline.messages as m
    on e.group_id = m.group_id
    and e.sdkappid = m.sdkappid
    and m.message_seq::text = named.sequence
    and coalesce(e.body ->> 'TopicId', '') = coalesce(m.body ->> 'TopicId', '')
where e.command in (
    'Group.CallbackAfterRecallMsg', 'Group.CallbackAfterModifyMsg', 'Group.CallbackAfterReadReceipt'
)
union all
select m.ce_id, e.ce_id, 'moderation', e.command, e.received_at, e.body
from hookline.messages as m
join hookline.events as e
    on e.group_id = m.group_id
    and e.sdkappid = m.sdkappid
    and e.command = 'ContentCallback.ResultNotify'
    and e.body ->> 'MsgID' = m.message_seq::text
where m.group_id is not null
union all
-- A read report of the recipient: the first one whose time is not before the message.
select m.ce_id, e.ce_id, 'read', e.command, e.received_at, e.body
from hookline.messages as m
cross join lateral (
    select r.ce_id, r.command, r.received_at, r.body
    from hookline.events as r
    where r.command = 'C2C.CallbackAfterMsgReport'
        and r.sender = m.recipient
        and r.recipient = m.sender
        and r.sdkappid = m.sdkappid
        and hookline.read_until(r.body) >= m.sent_at
    order by hookline.read_until(r.body), r.received_at, r.ce_id
    limit 1
) as e
where m.recipient is not null
$$;

create view hookline.message_events as select * from hookline.find_message_events();

comment on view hookline.message_events is
    'The events that are about a message: recalls, edits, read reports, results of moderation';
comment on column hookline.message_events.message is 'ce_id of the message';
comment on column hookline.message_events.event is 'ce_id of the event';
comment on column hookline.message_events.kind is
    'recall, edit, extension, read, moderation or other';
comment on column hookline.message_events.command is 'CallbackCommand of the event';
comment on column hookline.message_events.received_at is 'When an ingress received the event';
comment on column hookline.message_events.body is 'The body of the event';
