#!/usr/bin/env bash
# A RENAME TABLE of two Aria tables fails at its second, since there is no such table, and the server puts the first back under its name: all is
# as before. It happens while mariadb-backup copies, and the tool takes the beginning of the statement for done: in the backup the files of
# the first table have the other name, and its definition has not. Status 0 and `completed OK!`.
#
# Why it matters: a statement that changed nothing, and of which the client was told that it failed, loses a whole table from the backup.
# After the restore SHOW TABLES lists it, and the first SELECT says that its file cannot be found.
# Seen with: MariaDB and mariadb-backup 10.11.19.
# What dbcalm-db-cmd does: after the copy it looks for the files of each definition of Aria and MyISAM; where they are lacking the backup
# fails and names the table. `verify` finds it in backups that others took.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin

TABLES=(north south east west)
new_server shop
aria_tables shop stock "${TABLES[@]}"
begin_backup shop mon
copied() { [ "$(not_copied mon stock "${TABLES[@]}" | wc -l)" -lt "${#TABLES[@]}" ]; }
wait_for "the tool to copy a table" copied
waiting=$(not_copied mon stock "${TABLES[@]}")
for table in "${TABLES[@]}"; do grep -qx "$table" <<<"$waiting" || break; done
say "while the tool copies: RENAME TABLE $table TO renamed, nothing TO more"
answer=$(sql shop "USE stock; RENAME TABLE $table TO renamed, nothing TO more" 2>&1 || true)
say "  $(grep -m 1 ERROR <<<"$answer")"
expect "the statement fails" grep -q ERROR <<<"$answer"
expect "and the server has the table as before" [ "$(sql shop "SELECT count(*) FROM stock.$table")" = 15000 ]
end_backup
expect "the tool calls the backup a success" completed
files=$(cd "$T/mon/stock" && echo "$table".* renamed.*)
say "  in the backup: $files"
expect "the definition alone, and rows of a table that never was" [ "$files" = "$table.frm renamed.MAD renamed.MAI" ]
stop shop

restore new mon
start new
expect "SHOW TABLES lists it" grep -qx "$table" <(sql new "SHOW TABLES FROM stock")
answer=$(sql new "SELECT count(*) FROM stock.$table" 2>&1 || true)
say "  SELECT: $(grep -m 1 ERROR <<<"$answer")"
expect "and it cannot be read" grep -q ERROR <<<"$answer"
still_so "an Aria table is lost that a failed RENAME TABLE named while the tool copied, with status 0 and 'completed OK!'"
