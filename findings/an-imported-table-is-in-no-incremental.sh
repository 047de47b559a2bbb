#!/usr/bin/env bash
# A table is brought back from a copy of its tablespace (`DISCARD TABLESPACE`, the file put in its place, `IMPORT TABLESPACE`), as the
# documentation of mariadb-backup has it for a single table. Every backup after it is a success and lacks the table's rows:
# - Until the server makes a checkpoint, a full backup has no tablespace of the table: the import takes on the id of the one that was discarded,
#   and the tool leaves out what its redo log removes.
# - After that, an incremental on a backup from before the import has none of its pages: the server has written them with an LSN of 0, and
#   an incremental takes the pages with an LSN after its base. The chain restores to the rows of before the import, and CHECK TABLE says OK.
#
# Why it matters: a table is imported because its rows were lost; they are lost again, with the next restore, and nothing says so.
# Seen with: MariaDB and mariadb-backup 10.11.19.
# What dbcalm-db-cmd does: a backup without the tablespace of a table that the server has fails; each backup notes the pages that were
# imported before it, and an incremental of a server with others fails and asks for a full backup.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin

rows() { sql "$1" "SELECT v, count(*) FROM shop.orders GROUP BY v" 2>&1 | tr '\t' ' '; }

new_server shop
sql shop "CREATE DATABASE shop; USE shop; CREATE TABLE orders (id INT PRIMARY KEY, v CHAR(100)) ENGINE=InnoDB;
    INSERT INTO orders SELECT seq, 'right' FROM seq_1_to_3000"
stop shop
cp "$T/shop/data/shop/orders.ibd" "$T/kept.ibd"
start shop
say "a mistake: UPDATE orders SET v = 'wrong'; then the backup 'mon'"
sql shop "UPDATE shop.orders SET v = 'wrong'"
take shop mon
say "orders is imported from a copy of before the mistake"
sql shop "ALTER TABLE shop.orders DISCARD TABLESPACE"
cp "$T/kept.ibd" "$T/shop/data/shop/orders.ibd"
sql shop "ALTER TABLE shop.orders IMPORT TABLESPACE"
expect "the server has the imported rows: $(rows shop)" [ "$(rows shop)" = "right 3000" ]

take shop tue
expect "'tue', a full backup, has the definition of the table" [ -e "$T/tue/shop/orders.frm" ]
expect "and no tablespace of it" [ ! -e "$T/tue/shop/orders.ibd" -a ! -e "$T/tue/shop/orders.new" ]

say "the server is restarted, which makes a checkpoint"
stop shop
start shop
take shop wed "--incremental-basedir=$T/mon"
expect "the server has the imported rows: $(rows shop)" [ "$(rows shop)" = "right 3000" ]
stop shop
restore new mon wed
start new
expect "the restored server finds the table sound" grep -q 'status.OK$' <(sql new "CHECK TABLE shop.orders EXTENDED")
expect "it has the rows of before the import: $(rows new)" [ "$(rows new)" = "wrong 3000" ]
still_so "a table that was imported is in no backup until a checkpoint, and in no incremental on a base from before"
