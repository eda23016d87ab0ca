-- Version 2: the columns of messages that people filter by, and a comment for everything.
-- Everything here is quick on tables of any size. Programs of version 1 may still write afterwards: the
-- new columns are null in their rows until consumers/sync/maintenance.py fills them, and
-- schema_version, which these programs compare with 1, stays 1.
create table hookline.migrations (
    number integer primary key,
    applied_at timestamptz not null default now()
);
insert into hookline.migrations (number) values (1);

alter table hookline.messages
    add column topic_id text,
    add column message_id text,
    add column online_only boolean,
    add column delivered boolean,
    add column element_types text[],
    add column text text;

-- An entry of an index has 2704 bytes at most; a longer account would make its message a dead letter.
create function hookline.bounded(account text) returns text
language sql immutable strict parallel safe
as $$
    select case
        when octet_length(account) <= 512 then account
        else 'sha256:' || encode(sha256(convert_to(account, 'UTF8')), 'hex')
    end
$$;

-- A trigger without a condition, which would forbid an owner to alter the type of these columns.
create function hookline.bound_names() returns trigger
language plpgsql
as $$ begin
    if octet_length(new.sender) > 512 or octet_length(new.recipient) > 512
        or octet_length(new.group_id) > 512
    then
        new.sender := hookline.bounded(new.sender);
        new.recipient := hookline.bounded(new.recipient);
        new.group_id := hookline.bounded(new.group_id);
    end if;
    return new;
end $$;

create trigger hookline_bound_names before insert on hookline.messages
for each row execute function hookline.bound_names();

create trigger hookline_bound_names before insert on hookline.events
for each row execute function hookline.bound_names();

comment on schema hookline is
    'Callbacks of Tencent Cloud IM. Written by the consumer sync of Hookline; see docs/sync.md';

comment on table hookline.messages is
    'Each message once (C2C.CallbackAfterSendMsg, Group.CallbackAfterSendMsg), however often its callback was sent';
comment on column hookline.messages.ce_id is
    'Id of the message, 32 hex digits; the header ce_id of its record in Kafka';
comment on column hookline.messages.sdkappid is 'The app: SdkAppid of the URL';
comment on column hookline.messages.command is 'CallbackCommand';
comment on column hookline.messages.sender is
    'Account that sent the message (From_Account); longer than 512 bytes: sha256: and its digest';
comment on column hookline.messages.recipient is
    'Account that the message was sent to (To_Account); null in groups; bounded as sender';
comment on column hookline.messages.group_id is
    'Group that the message was sent to (GroupId), of a topic its community; bounded as sender';
comment on column hookline.messages.received_at is
    'When an ingress received the callback; of a repeated one, the receipt that was applied first';
comment on column hookline.messages.client_ip is
    'ClientIP of the URL: the address of the chat user, as the sender of the callback says';
comment on column hookline.messages.platform is
    'OptPlatform of the URL, such as iOS or RESTAPI; an open set';
comment on column hookline.messages.body is
    'The whole body, in a form that PostgreSQL can always query; fields may have any type';
comment on column hookline.messages.altered is
    'True if a part of body is replaced because PostgreSQL cannot hold it';
comment on column hookline.messages.raw is 'The exact bytes of the body if altered, else null';
comment on column hookline.messages.body_sha256 is 'SHA-256 of the exact bytes of the body';
comment on column hookline.messages.sent_at is 'Time of the message: MsgTime, else EventTime';
comment on column hookline.messages.message_seq is 'Sequence of the message: MsgSeq';
comment on column hookline.messages.message_random is
    'Random number of the message: MsgRandom, in groups Random';
comment on column hookline.messages.message_key is
    'MsgKey; unique only together with app, sender and recipient';
comment on column hookline.messages.result is
    'SendMsgResult: 0 if delivered, else an error code; null if absent';
comment on column hookline.messages.topic_id is 'Topic of the community (TopicId)';
comment on column hookline.messages.message_id is 'Id of the message on the client (MsgId)';
comment on column hookline.messages.online_only is
    'True if OnlineOnlyFlag is 1 (typing hints and the like), which statistics do not count as messages';
comment on column hookline.messages.delivered is 'False if result is neither absent nor 0';
comment on column hookline.messages.element_types is
    'MsgType of the elements, each once, in the order of the message';
comment on column hookline.messages.text is
    'The words that a person reads in the message, a line for each; null if there are none';

comment on table hookline.events is 'Each callback of another command once';
comment on column hookline.events.ce_id is
    'Id of the event, 32 hex digits; the header ce_id of its record in Kafka';
comment on column hookline.events.sdkappid is 'The app: SdkAppid of the URL';
comment on column hookline.events.command is 'CallbackCommand';
comment on column hookline.events.sender is
    'Account that acted; longer than 512 bytes: sha256: and its digest';
comment on column hookline.events.recipient is
    'Account that is concerned; null if there is none, or several; bounded as sender';
comment on column hookline.events.group_id is
    'Group or live room; bounded as sender';
comment on column hookline.events.received_at is
    'When an ingress received the callback; of a repeated one, the receipt that was applied first';
comment on column hookline.events.client_ip is
    'ClientIP of the URL: the address of the chat user, as the sender of the callback says';
comment on column hookline.events.platform is
    'OptPlatform of the URL, such as iOS or RESTAPI; an open set';
comment on column hookline.events.body is
    'The whole body, in a form that PostgreSQL can always query; fields may have any type';
comment on column hookline.events.altered is
    'True if a part of body is replaced because PostgreSQL cannot hold it';
comment on column hookline.events.raw is 'The exact bytes of the body if altered, else null';
comment on column hookline.events.body_sha256 is 'SHA-256 of the exact bytes of the body';

comment on table hookline.receipts is
    'Each callback that was answered OK, repeats included: what hookline audit compares';
comment on column hookline.receipts.origin is 'The spool that stored the callback, 16 hex digits';
comment on column hookline.receipts.sequence is 'Number within the spool: 1, 2, 3, ...';
comment on column hookline.receipts.ce_id is 'The row of the callback in messages or events';
comment on column hookline.receipts.received_at is 'When an ingress received the callback';

comment on table hookline.positions is
    'Where sync continues in each partition of Kafka; only sync may write here';
comment on column hookline.positions.topic is 'Topic in Kafka';
comment on column hookline.positions.partition is 'Partition of the topic';
comment on column hookline.positions.next_offset is 'Offset that sync expects next';
comment on column hookline.positions.last_offset is 'Offset of the last record before next_offset';
comment on column hookline.positions.last_origin is 'Origin of that record';
comment on column hookline.positions.last_sequence is 'Sequence of that record';
comment on column hookline.positions.topic_id is 'Id that Kafka gave the topic';

comment on table hookline.schema_version is
    'The oldest version of sync that may still write these tables';
comment on column hookline.schema_version.version is 'A number of migrations';

comment on table hookline.migrations is 'The changes of these tables that were applied, in order';
comment on column hookline.migrations.number is 'Number of the change: its file is consumers/sync/migrations/NUMBER.sql';
comment on column hookline.migrations.applied_at is 'When it was applied';
