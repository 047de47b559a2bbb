#!/usr/bin/env bash
# A server that writes little makes no checkpoint between two backups. Incrementals that are taken of it one after the other have a
# `from_lsn` and a `to_lsn` that are all the same number, though rows were written between them and `last_lsn` grows: `to_lsn` is the
# server's last checkpoint, and what came after is carried as redo log, by each anew. They restore well, but:
# - the tool takes the chain with a member left out (it is whole all the same, for the last one carries the log from the checkpoint on);
# - after the whole chain was applied, the prepared copy's checkpoints still name the `last_lsn` of an earlier member.
#
# Why it matters: who orders a chain, finds a base or proves a restore by from_lsn and to_lsn cannot tell these backups apart, and who
# expects the prepared copy to name the last member's LSN refuses a good restore.
# Seen with: MariaDB and mariadb-backup 10.11.19.
# What dbcalm-db-cmd does: each backup says by a mark of its own which one it was taken on; LSNs have to fit, but prove nothing alone.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin

rows() { sql "$1" "SELECT count(*) FROM shop.orders"; }
checkpoint() { status shop Innodb_lsn_last_checkpoint; }

new_server shop
sql shop "CREATE DATABASE shop; USE shop;
    CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, day CHAR(3)) ENGINE=InnoDB"
base=''
for day in mon tue wed thu; do
    sql shop "USE shop; INSERT INTO orders (day) SELECT '$day' FROM seq_1_to_100"
    take shop "$day" ${base:+"--incremental-basedir=$T/$base"}
    if [ "$day" = tue ]; then first=$(checkpoint); fi
    base=$day
    lsns "$day"
    say "  the server: $(rows shop) rows, last checkpoint at $(checkpoint)"
done
[ "$(checkpoint)" -eq "$first" ] || cannot "the server made a checkpoint meanwhile"
stop shop
same=$(for day in wed thu; do lsn "$day" from_lsn && lsn "$day" to_lsn; done | sort -u)
expect "all four of wed and thu are tue's to_lsn, $same" [ "$same" = "$(lsn tue to_lsn)" ]
expect "last_lsn grows from tue to wed" [ "$(lsn tue last_lsn)" -lt "$(lsn wed last_lsn)" ]
expect "and from wed to thu" [ "$(lsn wed last_lsn)" -lt "$(lsn thu last_lsn)" ]

restore whole mon tue wed thu
start whole
expect "the chain has all rows, $(rows whole)" [ "$(rows whole)" -eq 400 ]
stop whole
named=$(sed -n 's/^last_lsn = //p' "$T/whole.checkpoints")
expect "its prepared copy names $named, not thu's last_lsn $(lsn thu last_lsn)" [ "$named" -lt "$(lsn thu last_lsn)" ]

restore gap mon tue thu
start gap
expect "the tool took it without wed; it has $(rows gap) rows" [ "$(rows gap)" -eq 400 ]
still_so "incrementals of a server without a new checkpoint are all of the same from_lsn and to_lsn"
