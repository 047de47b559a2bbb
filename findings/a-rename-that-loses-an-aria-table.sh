#!/usr/bin/env bash
# An Aria table is renamed while mariadb-backup copies, before its turn has come. The tool writes `Error on aria table file open …` into
# its log, goes on, and ends with status 0 and `completed OK!`. The backup holds the definition under the new name and no file of rows.
#
# Why it matters: after the restore SHOW TABLES lists the table, and the first SELECT says that its file cannot be found. Nothing before
# that moment, neither prepare nor move-back nor the start of the server, says a word.
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
wait_for "the tool to copy a table" copies shop stock
mapfile -t waiting < <(not_copied mon stock "${TABLES[@]}")
[ "${#waiting[@]}" -ge 1 ] || cannot "the tool was too quick for it"
table=${waiting[0]}
say "while the tool copies: RENAME TABLE $table TO renamed"
sql shop "USE stock; RENAME TABLE $table TO renamed"
[ -n "$(not_copied mon stock "$table")" ] || cannot "the tool was too quick for it"
end_backup
expect "the tool calls the backup a success" completed
said=$(sed -n 's/^.*\(Error on aria table file open\)/\1/p' "$LOG")
expect "it says of it: $said" [ -n "$said" ]
files=$(cd "$T/mon/stock" && echo renamed.* "$table".*)
say "  in the backup: $files"
expect "the definition alone" [ "$files" = "renamed.frm $table.*" ]
say "  on the server: $(sql shop "SELECT count(*) FROM stock.renamed") rows"
stop shop

restore new mon
start new
expect "SHOW TABLES lists it" grep -qx renamed <(sql new "SHOW TABLES FROM stock")
answer=$(sql new "SELECT count(*) FROM stock.renamed" 2>&1 || true)
say "  SELECT: $(grep -m 1 ERROR <<<"$answer")"
expect "and it cannot be read" grep -q ERROR <<<"$answer"
still_so "an Aria table that was renamed while the tool copied is lost, with status 0 and 'completed OK!'"
