#!/usr/bin/env bash
# Two InnoDB tables exchange their names while mariadb-backup takes an incremental. It ends with status 0 and `completed OK!`, and can be applied to
# nothing: the prepare with --incremental-dir ends with status 1, each time, and by then has changed the incremental itself. A full
# backup in the midst of the same statement prepares well. The tool notes each rename in a file `OLD.ren`; at the prepare it goes round the
# exchange by a name of its own, and of the two files that a table has in an incremental (.delta and .meta) it loses one on the way.
#
# Why it matters: the day on which this is seen is the day of the restore, and every later incremental of the chain is lost with it.
# `ALTER TABLE … EXCHANGE PARTITION`, and tools that build a table anew and swap it in, make such exchanges.
# Seen with: MariaDB and mariadb-backup 10.11.19.
# What dbcalm-db-cmd does: it reads those notes when the tool has ended; an incremental in which they close a circle fails, names the tables,
# and asks for another. `verify` calls a stored one damaged.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin

new_server shop
sql shop "CREATE DATABASE shop; USE shop;
    CREATE TABLE orders (id INT PRIMARY KEY, v CHAR(20)) ENGINE=InnoDB; INSERT INTO orders SELECT seq, 'old' FROM seq_1_to_500;
    CREATE TABLE orders_new LIKE orders; INSERT INTO orders_new SELECT seq, 'new' FROM seq_1_to_500"
# What the tables are copied from must be older than the last checkpoint: else the tool copies them at its end, under their new names.
stop shop
start shop
aria_tables shop stock north south
take shop mon
sql shop "USE shop; UPDATE orders SET v = concat(v, '!'); UPDATE orders_new SET v = concat(v, '!')"

# exchange: after the tool has copied InnoDB's tables, and before it has all.
exchange() {
    wait_for "the tool to copy a table of Aria" copies shop stock
    say "while the tool copies: RENAME TABLE orders TO t, orders_new TO orders, t TO orders_new"
    sql shop "USE shop; RENAME TABLE orders TO t, orders_new TO orders, t TO orders_new"
    end_backup
    expect "the tool calls the backup a success" completed
}

begin_backup shop full
exchange
prepare full
begin_backup shop tue "--incremental-basedir=$T/mon"
exchange
stop shop
for table in orders orders_new; do say "  $table.ren: '$(cat "$T/tue/shop/$table.ren")'"; done

for try in first second; do
    cp -a "$T/mon" "$T/base.$try"
    cp -a "$T/tue" "$T/tue.$try"
    tool --prepare "--target-dir=$T/base.$try"
    expect "the tool prepares the base" completed
    tool --prepare "--target-dir=$T/base.$try" "--incremental-dir=$T/tue.$try"
    expect "the $try apply fails, as a rename within the incremental" grep -q "Can't rename .*/shop/orders" "$LOG"
    expect "with status 1" [ "$STATUS" -eq 1 ]
done
still_so "an incremental in which two InnoDB tables took each other's names is a success that nothing can apply"
