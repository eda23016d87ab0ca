-- Version 4: what `hookline sync expire` has deleted, so that `hookline audit` distinguishes it from what is missing.
-- Programs of earlier versions may still write: they use neither table.

-- Each range has a receipt that was there, with its row, for every sequence in it.
create table hookline.expired_receipts (
    origin text,
    first_sequence bigint,
    last_sequence bigint not null,
    primary key (origin, first_sequence)
);

-- Ids whose rows are deleted and whose receipts are not yet. Empty while no `hookline sync expire` is under way.
create table hookline.expiring_ids (
    ce_id text primary key
);

comment on table hookline.expired_receipts is
    'Ranges of receipts that hookline sync expire has deleted; hookline audit reads them';
comment on column hookline.expired_receipts.origin is 'Origin of the receipts';
comment on column hookline.expired_receipts.first_sequence is 'First sequence of the range';
comment on column hookline.expired_receipts.last_sequence is 'Last sequence of the range';

comment on table hookline.expiring_ids is
    'Ids of rows that an unfinished hookline sync expire has deleted, and whose receipts it deletes next';
comment on column hookline.expiring_ids.ce_id is 'Id of the message or event';
