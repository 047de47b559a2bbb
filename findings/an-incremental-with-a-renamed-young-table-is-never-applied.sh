#!/usr/bin/env bash
# A table of InnoDB is made, a full backup is taken, and the table is renamed; then an incremental is taken. Each is `completed OK!`, and the
# prepare of the incremental ends with status 1, each time: `Attempted to open a previously opened tablespace`. It takes that the table is
# younger than the server's last checkpoint, so that its pages are in the redo log alone when the incremental begins, and that they come to its file
# before it ends. Such a file the tool copies whole at its end, as `TABLE.new`. An apply puts it beside the file that the base has of the
# same tablespace under the old name.
#
# Why it matters: a deployment that makes tables and renames them, with an hourly incremental behind it, is enough. The day on which this is seen
# is the day of the restore, and every later incremental of the chain is lost with it.
# Seen with: MariaDB and mariadb-backup 10.11.19.
# What dbcalm-db-cmd does: it notes with each backup where the young tablespaces were by the tool's own log; an incremental that has one whole
# under another name fails, names the table, and asks for another, which the tool takes in the usual way.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin

new_server shop
aria_tables shop stock north south
stop shop
start shop
sql shop "CREATE DATABASE shop; USE shop;
    CREATE TABLE orders_new (id INT PRIMARY KEY, v CHAR(20)) ENGINE=InnoDB; INSERT INTO orders_new SELECT seq, 'new' FROM seq_1_to_500"
take shop mon
say "between the backups: RENAME TABLE orders_new TO orders"
sql shop "USE shop; RENAME TABLE orders_new TO orders"
begin_backup shop tue "--incremental-basedir=$T/mon"
wait_for "the tool to copy a table of Aria" copies shop stock
say "while the tool copies, the server writes the table's pages to its file (FLUSH TABLES orders FOR EXPORT)"
sql shop "USE shop; FLUSH TABLES orders FOR EXPORT; UNLOCK TABLES"
end_backup
expect "the tool calls the incremental a success" completed
take shop wed "--incremental-basedir=$T/mon"
stop shop

for try in first second; do
    rm -rf "$T/base" "$T/applied"
    cp -a "$T/mon" "$T/base"
    cp -a "$T/tue" "$T/applied"
    tool --prepare "--target-dir=$T/base"
    expect "the tool prepares the base" completed
    tool --prepare "--target-dir=$T/base" "--incremental-dir=$T/applied"
    expect "the $try apply fails, over two files of one tablespace" grep -q "Attempted to open a previously opened tablespace" "$LOG"
    expect "with status 1" [ "$STATUS" -eq 1 ]
done
say "another incremental, taken of the same base when the pages are in the file:"
rm -r "$T/applied"
prepare mon wed
still_so "an incremental on a base that has a young table under its old name is a success that nothing can apply"
