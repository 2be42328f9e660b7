#!/bin/sh
# postgres.sh FOLDER: a PostgreSQL of its own in FOLDER, listening on a Unix socket there, until it gets a signal or its
# parent dies. Prints "ready" once it can be connected to (host=FOLDER user=espalier dbname=postgres). Exit code 77: it
# is not installed. Nothing is synced to disk: what is tested here are our processes, not PostgreSQL's promises.
set -eu
folder=$1
bin=
for candidate in /usr/lib/postgresql/*/bin; do
  [ -x "$candidate/initdb" ] && bin=$candidate
done
if [ -z "$bin" ]; then
  command -v initdb > /dev/null && command -v postgres > /dev/null || exit 77
  bin=$(dirname "$(readlink -f "$(command -v initdb)")")
fi
# PostgreSQL refuses to run as root.
as=
if [ "$(id -u)" = 0 ]; then
  as="setpriv --reuid=nobody --regid=nogroup --clear-groups --pdeathsig=TERM"
  chmod 755 "$folder"
  mkdir "$folder/data"
  chown nobody:nogroup "$folder/data"
  data=$folder/data
else
  data=$folder/data
fi
socket=$data/socket
$as "$bin/initdb" -D "$data/db" -U espalier -A trust -E UTF8 --locale=C --no-sync > "$folder/initdb.log" 2>&1
$as mkdir "$socket"
(
  for _ in $(seq 1 300); do
    if "$bin/pg_isready" -q -h "$socket" -U espalier 2> /dev/null; then
      echo ready
      exit 0
    fi
    sleep 0.05
  done
) &
# SIGINT is PostgreSQL's fast shutdown; the one who starts this sends it.
exec $as "$bin/postgres" -D "$data/db" -k "$socket" -c listen_addresses= -c fsync=off -c shared_buffers=16MB \
  -c max_connections=30 -c autovacuum=off -c log_min_messages=fatal > "$folder/postgres.log" 2>&1
