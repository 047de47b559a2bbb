#!/usr/bin/env bash
# A server has its redo log in a directory of its own (`innodb_log_group_home_dir`), said on its command line. Somebody deletes all orders;
# the machine loses power. Monday's backup is prepared and moved back over the emptied data directory: status 0. The server starts, finds
# the OLD redo log where it looks for one, replays it over the restored files, and the orders are deleted again. The new redo log lies
# unread in the data directory. All the server says of it is an ordinary `Starting crash recovery`, and CHECK TABLE says OK.
#
# Why it matters: a restore to the time before a mistake comes out after it. The tool knows of that directory only if it is told: then it
# refuses while the old log lies there. After a clean stop the old log holds nothing to replay, and the restore comes out right. (Not tried:
# a checkpoint between backup and mistake, after which the old log's changes would meet pages that lack those before.)
# Seen with: MariaDB and mariadb-backup 10.11.19.
# What dbcalm-db-cmd does: a backup records where the server had its redo log; a restore puts it there, and while an old one lies there it
# is refused before anything is touched, with that file named.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin

orders() { sql shop "SELECT count(*) FROM shop.orders"; }

ELSEWHERE=--innodb-log-group-home-dir=$T/redo
new_server shop
stop shop
mkdir "$T/redo"
mv "$T/shop/data/ib_logfile0" "$T/redo/"
start shop "$ELSEWHERE"
sql shop "CREATE DATABASE shop; USE shop;
    CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, day CHAR(3)) ENGINE=InnoDB;
    INSERT INTO orders (day) SELECT 'mon' FROM seq_1_to_1000"
take shop mon
lsns mon
say "  orders in it: $(orders)"
sql shop "DELETE FROM shop.orders"
say "DELETE FROM shop.orders: $(orders) orders"
[ "$(status shop Innodb_lsn_last_checkpoint)" -le "$(lsn mon last_lsn)" ] || cannot "the server made a checkpoint meanwhile"
say "the server loses power; its data directory is emptied"
lose_power shop
rm -r "$T/shop/data"

restore shop mon
expect "the new redo log is in the data directory" [ -e "$T/shop/data/ib_logfile0" ]
: >"$T/log/shop"
start shop "$ELSEWHERE"
expect "the server starts: $(grep -m 1 -o 'Starting crash recovery.*' "$T/log/shop")" grep -q 'Starting crash recovery' "$T/log/shop"
expect "and has none of the 1000 orders of the backup" [ "$(orders)" -eq 0 ]
expect "CHECK TABLE finds nothing wrong" grep -q 'status.OK$' <(sql shop "CHECK TABLE shop.orders EXTENDED")
expect "the server's log has no error" [ "$(grep -c ERROR "$T/log/shop")" -eq 0 ]
stop shop

say "the same, with the directory said to the tool"
rm -r "$T/shop/data"
mkdir "$T/shop/data"
prepare mon
tool --move-back "--target-dir=$T/prepared" "--datadir=$T/shop/data" "$ELSEWHERE"
expect "it refuses: status 1" [ "$STATUS" -eq 1 ]
expect "and names the old log" grep -q "$T/redo/ib_logfile0" "$LOG"
rm -r "$T/shop/data" "$T/redo/ib_logfile0"
mkdir "$T/shop/data"
prepare mon
tool --move-back "--target-dir=$T/prepared" "--datadir=$T/shop/data" "$ELSEWHERE"
expect "without the old log the tool calls the move-back a success" completed
start shop "$ELSEWHERE"
expect "and the orders are there: $(orders)" [ "$(orders)" -eq 1000 ]
still_so "an old redo log outside the data directory is replayed over a restored backup"
