#!/usr/bin/env bash
# The server is restored from the full backup `mon`, although `tue`, an incremental, had been taken after it. What happened between the two
# is abandoned; the server writes on from `mon`. As soon as it has written past the LSN at which `tue` ended, mariadb-backup takes an
# incremental `wed` on `tue`: status 0, `completed OK!`. So end the prepare of mon+tue+wed, the move-back and CHECK TABLE. What comes out
# is no state that the server ever had: pages that were changed early after the restore are missing, abandoned ones stand in their place.
#
# Why it matters: a script that goes on with its chain after a restore makes backups that nothing but counting rows tells from good ones. A
# base and an incremental are matched by their LSNs alone, and two histories of one server count through the same LSNs.
# Seen with: MariaDB and mariadb-backup 10.11.19.
# What dbcalm-db-cmd does: each backup leaves a mark in the server's data directory, which a restore brings back with the data; where the
# mark of its base is not among them an incremental is refused, and the answer asks for a full backup.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin

# order WHEN: ten orders, and every page that they changed is written, also by what the server cleans up behind them.
order() {
    sql shop "USE shop; INSERT INTO orders (placed) SELECT '$1' FROM seq_1_to_10"
    flush
}

flush() {
    sql shop "SET GLOBAL innodb_max_purge_lag_wait = 0; SET GLOBAL innodb_max_dirty_pages_pct = 0"
    wait_for "the server to write its pages" clean
    sql shop "SET GLOBAL innodb_max_dirty_pages_pct = DEFAULT"
}

clean() { [ "$(status shop Innodb_buffer_pool_pages_dirty)" -eq 0 ]; }

# work: a day's work on another table.
work() { sql shop "USE shop; UPDATE visits SET page = reverse(page), visitor = visitor + 1"; }

orders() { sql "$1" "SELECT group_concat(concat(n, ' ', placed) ORDER BY placed SEPARATOR ', ') FROM
    (SELECT placed, count(*) AS n FROM shop.orders GROUP BY placed) AS counted"; }

new_server shop
sql shop "CREATE DATABASE shop; USE shop;
    CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, placed VARCHAR(30)) ENGINE=InnoDB;
    CREATE TABLE visits (id INT PRIMARY KEY, visitor INT, page CHAR(200)) ENGINE=InnoDB;
    INSERT INTO visits SELECT seq, seq, concat('/page/', seq) FROM seq_1_to_5000"
order "on Monday"
take shop mon
lsns mon
order "on Tuesday (abandoned)"
work
flush
take shop tue "--incremental-basedir=$T/mon"
lsns tue
say "the server at tue has orders: $(orders shop)"

say "the server's data are lost, and it is restored from 'mon' alone"
stop shop
rm -r "$T/shop/data"
restore shop mon
start shop
order "after the restore"
days=0
until [ "$(status shop Innodb_lsn_last_checkpoint)" -gt "$(lsn tue to_lsn)" ]; do
    [ "$((days += 1))" -le 50 ] || cannot "the server does not come past the end of 'tue'"
    work
    flush
done
say "after $days days of work the server's last checkpoint is at $(status shop Innodb_lsn_last_checkpoint)"
work
flush
take shop wed "--incremental-basedir=$T/tue"
lsns wed
had=$(orders shop)
say "the server at wed has orders: $had"
stop shop

restore new mon tue wed
start new
got=$(orders new)
say "mon+tue+wed has orders:       $got"
sql new "CHECK TABLE shop.orders, shop.visits EXTENDED" | tee "$T/log/check"
expect "the restored server finds its tables sound" [ "$(grep -c 'status.OK$' "$T/log/check")" -eq 2 ]
expect "the server had the ten after the restore, and none of the abandoned ones" [ "$had" = "10 after the restore, 10 on Monday" ]
expect "the chain has the ten abandoned ones, and none after the restore" [ "$got" = "10 on Monday, 10 on Tuesday (abandoned)" ]
still_so "an incremental on a base of an abandoned history is taken for a success, and its restore is of no state that ever was"
