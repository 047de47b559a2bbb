#!/usr/bin/env bash
# An Aria table is truncated while mariadb-backup copies, after its turn. The backup ends with status 0 and `completed OK!`, so do prepare and
# move-back. The restored table is damaged, or, if rows were inserted after the truncate, has others than the server had. The tool copies Aria's log
# to the end, and a DELETE of all rows comes out right by it; a TRUNCATE does not.
#
# Why it matters: rows that were thrown away are back, beside or instead of those that came after, and no status or log says so.
# Seen with: MariaDB and mariadb-backup 10.11.19.
# What dbcalm-db-cmd does: the server notes a TRUNCATE in the head of the table's index file. When the tool has ended that of the copy is held
# against the server's; where they differ the backup fails, names the table, and asks for another.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin

TABLES=(north south east west)
new_server shop
aria_tables shop stock "${TABLES[@]}"

# rows NAME TABLE: what a server has of it, or that it cannot read it.
rows() { sql "$1" "SELECT count(*), sum(owner = 'after') FROM stock.$2" 2>/dev/null | tr '\t' ' ' || echo "cannot be read"; }

# try BACKUP STATEMENTS: runs them on a table that the tool has copied already.
try() {
    local copied=''
    begin_backup shop "$1"
    wait_for "the tool to copy a table" copies shop stock
    mapfile -t waiting < <(not_copied "$1" stock "${TABLES[@]}")
    for table in "${TABLES[@]}"; do [[ " ${waiting[*]} " == *" $table "* ]] || copied=$table; done
    [ -n "$copied" ] || cannot "the tool was too quick for it"
    say "while the tool copies, when it has '$copied': $2"
    sql shop "USE stock; ${2//TABLE/$copied}"
    end_backup
    expect "the tool calls the backup a success" completed
    restore "$1.restored" "$1"
    start "$1.restored"
    had=$(rows shop "$copied") got=$(rows "$1.restored" "$copied")
    say "rows, and those of after: the server has '$had', the restored one '$got'"
    stop "$1.restored"
}

try mon "DELETE FROM TABLE; INSERT INTO TABLE VALUES ('after'), ('after')"
expect "a DELETE of all rows comes out right" [ "$had" = "$got" ]
try tue "TRUNCATE TABLE; INSERT INTO TABLE VALUES ('after'), ('after')"
expect "a TRUNCATE does not" [ "$had" != "$got" ]
still_so "an Aria table that was truncated while the tool copied comes back with other rows than it had"
