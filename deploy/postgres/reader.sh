#!/bin/sh
# Create the role hookline_reader, which may read the tables of sync and write nothing, or change its
# password to POSTGRES_READER_PASSWORD. A new volume runs this file; for a volume that exists:
#   docker compose exec postgres sh /docker-entrypoint-initdb.d/reader.sh
# Sync gives the role its rights once the tables exist.
set -eu
psql -v ON_ERROR_STOP=1 --quiet --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  -v password="$POSTGRES_READER_PASSWORD" <<'SQL'
select 'create role hookline_reader'
where not exists (select from pg_roles where rolname = 'hookline_reader') \gexec
alter role hookline_reader with login nosuperuser nocreatedb nocreaterole password :'password'
    -- So that readers never use the connections that sync needs.
    connection limit 20;
alter role hookline_reader set default_transaction_read_only = on;
alter role hookline_reader set statement_timeout = '10min';
alter role hookline_reader set idle_in_transaction_session_timeout = '10min';
SQL
