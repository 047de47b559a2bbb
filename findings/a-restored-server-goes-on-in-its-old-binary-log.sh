#!/usr/bin/env bash
# A server keeps its binary log outside the data directory. Its data are restored from a backup: what was written since is undone, but for the
# binary log. The server goes on in that with the next file, whose list of GTIDs says that everything undone had been there, and with the next
# GTID. By numbers and GTIDs the files are one unbroken line.
#
# Why it matters: an archive of binary logs that is proved by numbers and GTIDs counts as whole. A later recovery from a backup of before
# the restore replays what was undone, and then what came after it, to data that no server ever had, or to a duplicate key.
# Seen with: MariaDB and mariadb-backup 10.11.19.
# What dbcalm-db-cmd does: a restore leaves word in the archive before it fills the data directory; the archive begins a new timeline with the
# first file that was begun after that, and no replay goes from one timeline to another.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
PACKAGES+=(mariadb-client)
PROGRAMS+=(usr/bin/mariadb-binlog)
begin

mkdir "$T/logs"
LOGGING=("--log-bin=$T/logs/bin" --server-id=1)
new_server shop "${LOGGING[@]}"
sql shop "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, placed VARCHAR(20)) ENGINE=InnoDB; RESET MASTER"
take shop full
sql shop "INSERT INTO shop.orders VALUES (1, 'undone')"
last=$(sql shop "SELECT @@gtid_binlog_pos")
say "the server has committed $last, and is restored from before it"
stop shop
rm -r "$T/shop/data"
restore shop full
start shop "${LOGGING[@]}"
expect "what was committed is undone" test -z "$(sql shop "SELECT * FROM shop.orders")"
sql shop "INSERT INTO shop.orders VALUES (1, 'anew')"
next=$(sql shop "SELECT @@gtid_binlog_pos")
head=$(mariadb-binlog --no-defaults "$T/logs/bin.000002" | sed -n 's/.*Gtid list \[\(.*\)\].*/\1/p' | head -n 1)
say "the next file begins with [$head], and the next transaction is $next"
expect "the new file's list has the transaction that is undone" test "$head" = "$last"
expect "the numbers go on" test "${next##*-}" -eq "$((${last##*-} + 1))"
still_so "a restored server goes on in its old binary log as if nothing had been undone"
