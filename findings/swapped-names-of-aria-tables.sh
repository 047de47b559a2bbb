#!/usr/bin/env bash
# Two Aria tables exchange their names while mariadb-backup copies (`RENAME TABLE a TO t, b TO a, t TO b`, which puts a table that was built
# anew in the place of the old one and keeps that). The backup ends with status 0 and `completed OK!`, so do prepare and move-back, the server
# finds each table sound, and each holds the rows of the other. The tool opens the tables of its list by their old names, which are the
# other's by then, and at the end renames its copies as the server did: twice swapped.
#
# Why it matters: after a restore the old rows stand where the new ones were, and no status, log, checksum or CHECK TABLE says so.
# Seen with: MariaDB and mariadb-backup 10.11.19.
# What dbcalm-db-cmd does: it reads the server's log of DDL (`ddl.log`) after the copy; where names were exchanged the backup fails, names
# the tables, and asks for another.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin

TABLES=(north south east west)
new_server shop
aria_tables shop stock "${TABLES[@]}"
begin_backup shop mon
wait_for "the tool to copy a table" copies shop stock
mapfile -t waiting < <(not_copied mon stock "${TABLES[@]}")
[ "${#waiting[@]}" -ge 2 ] || cannot "the tool was too quick for it"
a=${waiting[0]} b=${waiting[1]}
say "while the tool copies: RENAME TABLE $a TO t, $b TO $a, t TO $b"
sql shop "USE stock; RENAME TABLE $a TO t, $b TO $a, t TO $b"
[ "$(not_copied mon stock "$a" "$b" | wc -l)" -eq 2 ] || cannot "the tool was too quick for it"
end_backup
expect "the tool calls the backup a success" completed
stop shop

restore new mon
start new
# owners NAME TABLE: whose rows they are, and how many.
owners() { sql "$1" "SELECT owner, count(*) FROM stock.$2 GROUP BY owner" | tr '\t' ' '; }
start shop
for table in "$a" "$b"; do
    say "on the server '$table' has the rows '$(owners shop "$table")', as restored '$(owners new "$table")'"
    expect "the restored server finds the table sound" grep -q 'status.OK$' <(sql new "CHECK TABLE stock.$table EXTENDED")
done
expect "each has the rows of the other" [ "$(owners new "$a") $(owners new "$b")" = "$(owners shop "$b") $(owners shop "$a")" ]
expect "which are not those that it had" [ "$(owners new "$a")" != "$(owners shop "$a")" ]
still_so "two Aria tables that were swapped while the tool copied come back with each other's rows, and everything says OK"
