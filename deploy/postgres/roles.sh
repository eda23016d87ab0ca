#!/bin/sh
# Give the role of sync the password in PASSWORDS_DIR/hookline, and create the role hookline_reader, which
# may read the tables of sync and write nothing, with the password in PASSWORDS_DIR/hookline_reader.
# deploy/postgres/start runs this file at each start, a new volume while it is initialised.
# Sync gives the reader its rights once the tables exist.
set -eu
export PASSWORDS_DIR
psql -v ON_ERROR_STOP=1 --quiet --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
-- The server logs no statement of this session: neither one that fails, nor those for which an
-- administrator has set these for all sessions.
set log_min_error_statement = panic;
set log_statement = 'none';
set log_min_duration_statement = -1;
set log_min_duration_sample = -1;
set log_transaction_sample_rate = 0;
-- Read here, the passwords are in no command line and in no environment.
\set password `cat "$PASSWORDS_DIR/hookline"`
\set reader_password `cat "$PASSWORDS_DIR/hookline_reader"`
alter role current_user with password :'password';
select 'create role hookline_reader'
where not exists (select from pg_roles where rolname = 'hookline_reader') \gexec
alter role hookline_reader with login nosuperuser nocreatedb nocreaterole password :'reader_password'
    -- So that readers never use the connections that sync needs.
    connection limit 20;
alter role hookline_reader set default_transaction_read_only = on;
alter role hookline_reader set statement_timeout = '10min';
alter role hookline_reader set idle_in_transaction_session_timeout = '10min';
SQL
