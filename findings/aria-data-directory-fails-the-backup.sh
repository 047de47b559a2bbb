#!/usr/bin/env bash
# One Aria table with a DATA DIRECTORY, which the server serves without complaint, and mariadb-backup can back up nothing at all: it ends
# with status 1 and `Too many levels of symbolic links`. InnoDB's and MyISAM's tables with the same clause are backed up.
#
# Why it matters: from the day that somebody makes such a table there are no backups of any database; who watches neither status nor log
# learns it when there is something to restore. The message tells of a loop of symlinks that is not there.
# Seen with: MariaDB and mariadb-backup 10.11.19.
# What dbcalm-db-cmd does: the backup fails, nothing is recorded as one, and the reason names the table and its place.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin

mkdir "$T/elsewhere"
new_server shop
sql shop "CREATE DATABASE shop"
for engine in InnoDB MyISAM Aria; do
    say "CREATE TABLE shop.$engine (a INT) ENGINE=$engine DATA DIRECTORY='elsewhere'; 1000 rows"
    sql shop "USE shop; CREATE TABLE $engine (a INT) ENGINE=$engine DATA DIRECTORY='$T/elsewhere';
        INSERT INTO $engine SELECT seq FROM seq_1_to_1000"
    expect "the server finds the table sound" grep -q 'status.OK$' <(sql shop "CHECK TABLE shop.$engine EXTENDED")
    if [ "$engine" != Aria ]; then take shop "with-$engine"; fi
done
tool --backup "--socket=$T/shop/socket" --user=root "--datadir=$T/shop/data" "--target-dir=$T/with-Aria"
expect "no backup: status 1" [ "$STATUS" -eq 1 ]
expect "it says: $(grep -m 1 'Too many levels' "$LOG" | sed 's/^[^a-zA-Z]*//')" grep -q 'Too many levels of symbolic links' "$LOG"
sql shop "ALTER TABLE shop.Aria ENGINE=InnoDB"
take shop after-ALTER-ENGINE
still_so "one Aria table with a DATA DIRECTORY, and there is no backup of the server"
