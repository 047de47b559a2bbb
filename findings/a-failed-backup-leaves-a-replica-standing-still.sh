#!/usr/bin/env bash
# A replica is backed up with `--safe-slave-backup`, as the manual advises. The disk for the backup fills up, or somebody ends the tool: it
# ends, and the replica's SQL thread, which the tool had stopped, stays stopped. Neither the tool's last lines nor the server's log speak of
# an error of the replication, and a backup that goes well starts the thread again.
#
# Why it matters: the replica falls behind from that night on, with all its services green; who reads from it reads old data, and the next
# backup of it is one of old data too.
# Seen with: MariaDB and mariadb-backup 10.11.19.
# What dbcalm-db-cmd does: after a backup with that option that was broken off, the reason of the failure says what to look at, and
# `START SLAVE SQL_THREAD`.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin

# Slave_SQL_Running is the twelfth column.
sql_thread() { sql replica "SHOW SLAVE STATUS" | cut -f 12; }
is() { [ "$(sql_thread)" = "$1" ]; }
takes_it_as_safe() { grep -q 'Slave is safe to backup' "$LOG"; }

new_server replica --server-id=2
# Nobody is at the other end: what is looked at is the thread that applies what has come.
sql replica "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=1, MASTER_USER='nobody'; START SLAVE SQL_THREAD"
expect "Slave_SQL_Running is $(sql_thread)" is Yes
take replica good --safe-slave-backup
expect "Slave_SQL_Running is $(sql_thread) after it" is Yes

say "the same on a disk that fills up"
# The limit of a file's size, as an error and not as a signal.
trap '' XFSZ
STATUS=0 LOG=$T/log/tool
(
    ulimit -f 5000
    mariadb-backup --no-defaults --backup "--socket=$T/replica/socket" --user=root "--datadir=$T/replica/data" \
        "--target-dir=$T/full" --safe-slave-backup >"$LOG" 2>&1
) || STATUS=$?
expect "no backup: status $STATUS, $(tail -n 1 "$LOG" | grep -o 'Error: .*')" [ "$STATUS" -eq 1 ]
expect "Slave_SQL_Running is $(sql_thread)" is No
sql replica "START SLAVE SQL_THREAD"
expect "and $(sql_thread) after START SLAVE SQL_THREAD" is Yes

say "the same, ended by INT while it copies"
begin_backup replica ended --safe-slave-backup
wait_for "the tool to stop the thread" takes_it_as_safe
kill -INT "$TOOL_PID"
end_backup
expect "it ended by that: status $STATUS" [ "$STATUS" -ne 0 ]
expect "Slave_SQL_Running is $(sql_thread)" is No
expect "the server's log has no error" [ "$(grep -c 'ERROR' "$T/log/replica")" -eq 0 ]
still_so "a backup with --safe-slave-backup that is broken off leaves the replica's SQL thread stopped"
