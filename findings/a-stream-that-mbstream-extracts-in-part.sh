#!/usr/bin/env bash
# An empty Aria table gets another form (ALTER TABLE … ROW_FORMAT=FIXED) while mariadb-backup streams, after its turn. The tool sends its file
# of rows a second time. That file is empty, so there is no payload that could say that it is written anew, and mbstream -x takes it for a file
# that is there already: it says so, ends with status 0, and has not read the rest of the stream.
#
# Why it matters: the tool ended with status 0 and `completed OK!`, mbstream with 0, and what lies there has no checkpoints, no redo log's
# end and not the tables that came later. A script that looks at statuses has no backup and does not know.
# Seen with: MariaDB, mariadb-backup and mbstream 10.11.19.
# What dbcalm-db-cmd does: it reads such a stream as it is meant, when it stores it and when it extracts it. Without that chunk a stream that
# lacks the metadata is refused.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin

new_server shop
TABLES=(north south east west)
aria_tables shop stock "${TABLES[@]}"
for number in {1..20}; do sql shop "CREATE TABLE stock.empty$number (a INT) ENGINE=Aria"; done
LOG=$T/log/tool
mariadb-backup --no-defaults --backup "--socket=$T/shop/socket" --user=root "--datadir=$T/shop/data" "--target-dir=$T/mon" \
    --stream=xbstream "${THROTTLED[@]}" >"$T/mon.xbstream" 2>"$LOG" &
TOOL_PID=$!
# It says so when it is done with one.
copied() { sed -n 's/.*aria table file \.\/stock\/\(empty[0-9]*\)\.MAD is copied.*/\1/p' "$LOG" | head -n 1; }
is_copied() { kill -0 "$TOOL_PID" 2>/dev/null || cannot "the tool ended before it had copied an empty table"; [ -n "$(copied)" ]; }
wait_for "the tool to copy an empty table" is_copied
table=$(copied)
say "while the tool streams: ALTER TABLE $table TRANSACTIONAL=0, ROW_FORMAT=FIXED"
sql shop "USE stock; ALTER TABLE $table TRANSACTIONAL=0, ROW_FORMAT=FIXED"
STATUS=0
wait "$TOOL_PID" || STATUS=$?
TOOL_PID=''
ended --backup --stream=xbstream
expect "the tool calls the backup a success" completed
stop shop

mkdir "$T/mon"
status=0
mbstream -x -C "$T/mon" <"$T/mon.xbstream" 2>"$T/log/mbstream" || status=$?
say "mbstream -x: status $status, '$(head -n 1 "$T/log/mbstream" | tr -d '\a')'"
expect "mbstream ends with status 0" [ "$status" -eq 0 ]
expect "it says that a file is there already" grep -q "$table.MAD.*File exists" "$T/log/mbstream"
expect "the stream has the checkpoints" grep -qa 'backup_type = full-backuped' "$T/mon.xbstream"
expect "and what was extracted has none" [ ! -e "$T/mon/xtrabackup_checkpoints" ]
still_so "of a stream during which an empty Aria table was altered mbstream extracts a part, with status 0"
