# Shared by the findings beside it; sourced, never run.
#
# What a finding installs, starts and writes is in one temporary directory ($T), which goes when the finding ends, however it ends; a
# process that it started is ended by its id. Its exit status: 0 if the behaviour is still so, 1 if it is not, 2 if it could not be tried.
# shellcheck shell=bash disable=SC2034 # the findings use what is set here

set -euo pipefail
export LC_ALL=C TZ=UTC

# The packages that the findings were seen with. Another version of Debian 12: FINDINGS_VERSION=… bash findings/NAME.sh
# A finding about other programs sets these five before it calls `begin`, and has a `named` of its own.
VERSION=${FINDINGS_VERSION:-1:10.11.19-0+deb12u1}
PACKAGES=(mariadb-server-core mariadb-client-core mariadb-backup)
PROGRAMS=(usr/sbin/mariadbd usr/bin/{mariadb,mariadb-backup,my_print_defaults})
COMMANDS=()                # what the finding needs of the machine, beside what unpacks the packages
UNPACKED=${FINDINGS_TREE-} # where 'run' has unpacked them for all

# named: the program and its version, for people.
named() { mariadbd --no-defaults --version | sed 's/.*Ver \([0-9.]*\)-MariaDB.*/MariaDB \1/'; }

T=''               # the temporary directory, once there is one
TREE=''            # where the packages are unpacked
declare -A SERVERS # name → process id of each server that runs
TOOL_PID=''        # of a backup tool in the background
FINDING_PID=''     # of a finding that 'run' runs
STATUS=0 LOG=''    # of the last run of the backup tool
VERDICT=''         # whether it was seen that the behaviour is no longer so

# ---- what is shown ----

# shown TEXT...: with paths below $T as they are called there, and nothing of the machine's.
shown() {
    local text=$*
    [ -z "$T" ] || text=${text//"$T/"/}
    printf '%s\n' "$text"
}

say() { shown "$@"; }

# cannot WHAT: the finding could not be tried.
cannot() {
    shown "NOT TRIED: $*" >&2
    exit 2
}

# expect WHAT COMMAND...: the command has to succeed, or the behaviour is no longer so.
expect() {
    local what=$1
    shift
    if "$@"; then
        shown "  seen: $what"
    else
        shown "NO LONGER SO: $what" >&2
        VERDICT=gone
        exit 1
    fi
}

still_so() { shown "STILL SO with $NAMED: $*"; }

# ---- beginning and end ----

# begin: makes $T with the packages in it, and sees to it that nothing is left when the finding ends.
begin() {
    local command parent
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    trap 'clean_up $?' EXIT
    for command in apt-get dpkg-deb ldd; do
        command -v "$command" >/dev/null || cannot "no '$command' here; the packages are Debian's"
    done
    for command in "${COMMANDS[@]}"; do command -v "$command" >/dev/null || cannot "no '$command' here"; done
    parent=$(cd "${TMPDIR:-/tmp}" && pwd -P)
    T=$(mktemp -d "$parent/finding.XXXXXX")
    # The path of a socket has to fit in 108 bytes.
    [ "${#T}" -le 80 ] || cannot "'$T' is too long a path for sockets: set TMPDIR to a shorter one"
    mkdir "$T/tmp" "$T/log"
    TREE=${UNPACKED:-$T/tree}
    [ -d "$TREE" ] || unpack "$TREE"
    LD_LIBRARY_PATH=$(library_path "$TREE")
    export LD_LIBRARY_PATH PATH=$TREE/usr/bin:$TREE/usr/sbin:$PATH
    NAMED=$(named)
    say "$NAMED, Debian's $VERSION"
}

clean_up() {
    local status=$1 pid
    set +e
    trap '' INT TERM HUP
    # Any other command that failed tells nothing of the behaviour.
    if [ "$status" -eq 1 ] && [ -z "$VERDICT" ]; then
        printf 'NOT TRIED: a command failed\n' >&2
        status=2
    fi
    if [ "$status" -ne 0 ] && [ -n "$LOG" ]; then
        printf -- '--- the end of %s\n' "${LOG#"$T/"}" >&2
        tail -n 12 "$LOG" >&2
    fi
    [ -z "$FINDING_PID" ] || end "$FINDING_PID" TERM
    # INT ends the tool; it blocks TERM while it copies.
    [ -z "$TOOL_PID" ] || end "$TOOL_PID" INT
    # The last one first: it may need those before it.
    for pid in $(printf '%s\n' "${SERVERS[@]}" | sort -rn); do end "$pid" TERM; done
    [ -z "$T" ] || rm -rf -- "$T"
    exit "$status"
}

# end PID SIGNAL: a child of ours.
end() {
    local deadline=$((SECONDS + 30))
    kill "-$2" "$1" 2>/dev/null || true
    while kill -0 "$1" 2>/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || kill -KILL "$1" 2>/dev/null || true
        sleep 0.05
    done
    wait "$1" 2>/dev/null || true
}

# wait_for WHAT COMMAND...: until the command succeeds; a minute at most.
wait_for() {
    local what=$1 deadline=$((SECONDS + 60))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || cannot "waited a minute in vain for $what"
        sleep 0.02
    done
}

# ---- packages ----

# fetch DIR PACKAGE...: into a folder, by this machine's own sources; nothing is installed.
fetch() {
    local dir=$1 deb
    shift
    mkdir -p "$T/packages"
    (cd "$T/packages" && apt-get -q download "$@") >"$T/log/packages" 2>&1 || {
        cat "$T/log/packages" >&2
        cannot "apt-get download $* (is this Debian 12, and was 'apt-get update' run?)"
    }
    for deb in "$T/packages"/*.deb; do dpkg-deb -x "$deb" "$dir"; done
    rm -r "$T/packages"
}

# unpack DIR: the packages, and in DIR/libraries what they need and is not on this machine.
unpack() {
    local dir=$1 missing library
    mkdir -p "$dir/libraries"
    fetch "$dir" "${PACKAGES[@]/%/=$VERSION}"
    while missing=$(missing_libraries "$dir") && [ -n "$missing" ]; do
        mkdir "$dir/more"
        for library in $missing; do fetch "$dir/more" "$(package_of "$library")"; done
        find "$dir/more" -path '*/lib/*' -name '*.so.*' -exec mv -t "$dir/libraries" {} +
        rm -r "$dir/more"
        for library in $missing; do
            [ -e "$dir/libraries/$library" ] || cannot "'$library' is not in the package of that name"
        done
    done
}

missing_libraries() {
    LD_LIBRARY_PATH=$(library_path "$1") ldd "${PROGRAMS[@]/#/$1/}" | sed -n 's/^[[:space:]]*\(.*\) => not found$/\1/p' | sort -u
}

# library_path DIR: the packages' own libraries (Ceph has a folder for some), and those that are not on this machine.
library_path() {
    local path=$1/libraries folder
    for folder in "$1"/usr/lib/*-linux-gnu{,/ceph}; do [ ! -d "$folder" ] || path+=:$folder; done
    printf '%s\n' "$path"
}

# package_of LIBRARY: Debian calls libaio.so.1 libaio1, libpcre2-8.so.0 libpcre2-8-0 and libboost_thread.so.1.74.0 libboost-thread1.74.0.
package_of() {
    local name=${1%%.so*} number=${1##*.so.}
    name=${name//_/-}
    case $name in
    libcrypto) name=libssl ;;
    libcurl-gnutls) name=libcurl3-gnutls number='' ;;
    libicu*) name=libicu ;;
    liblber-*) name=libldap-${name#liblber-}- ;;
    libsnappy) number+=v5 ;;
    *[0-9]) name=$name- ;;
    esac
    printf '%s\n' "$name$number"
}

# ---- servers ----

# user: the server does not run as root unless it is told to.
user() { [ "$(id -u)" -ne 0 ] || echo --user=root; }

# new_server NAME [OPTION...]: a fresh data directory, $T/NAME/data, and a server on it.
new_server() {
    local options=(--no-defaults "--basedir=$TREE/usr" "--datadir=$T/$1/data" "--tmpdir=$T/tmp" --innodb-log-file-size=32M
        --auth-root-authentication-method=normal --skip-test-db --force)
    # --force: it need not find its host's name. --rpm: with --user alone it would look for the server's PAM helper.
    if [ "$(id -u)" -eq 0 ]; then options+=(--user=root --rpm); fi
    mkdir "$T/$1"
    mariadb-install-db "${options[@]}" >"$T/log/install" 2>&1 || { LOG=$T/log/install && cannot "mariadb-install-db failed"; }
    start "$@"
    # Its hundred views take longer to copy than all that is looked at.
    sql "$1" "DROP DATABASE IF EXISTS sys"
}

# start NAME [OPTION...]: a server on $T/NAME/data, until it answers.
start() {
    local name=$1 user
    shift
    user=$(user)
    mkdir -p "$T/$name/tmp"
    mariadbd --no-defaults "--basedir=$TREE/usr" "--datadir=$T/$name/data" "--socket=$T/$name/socket" "--pid-file=$T/$name/pid" \
        "--tmpdir=$T/$name/tmp" --skip-networking --skip-log-bin --innodb-log-file-size=32M --innodb-buffer-pool-size=32M \
        ${user:+"$user"} "$@" </dev/null >>"$T/log/$name" 2>&1 &
    SERVERS[$name]=$!
    LOG=$T/log/$name
    wait_for "the server '$name' to answer" answers_or_ended "$name"
    kill -0 "${SERVERS[$name]}" 2>/dev/null || cannot "the server '$name' ended at once"
    LOG=''
}

answers_or_ended() { ! kill -0 "${SERVERS[$1]}" 2>/dev/null || sql "$1" "SELECT 1" >/dev/null 2>&1; }

# stop NAME: as its service manager would.
stop() {
    end "${SERVERS[$1]}" TERM
    unset "SERVERS[$1]"
}

# lose_power NAME: the server gets no chance to finish what it does.
lose_power() {
    disown "${SERVERS[$1]}"
    end "${SERVERS[$1]}" KILL
    unset "SERVERS[$1]"
}

# sql NAME STATEMENTS
sql() {
    mariadb --no-defaults "--socket=$T/$1/socket" --user=root --batch --skip-column-names --execute="$2"
}

# status NAME VARIABLE: of the server's status.
status() { sql "$1" "SHOW GLOBAL STATUS LIKE '$2'" | cut -f 2; }

# ---- the backup tool ----

# tool ARGUMENT...: runs it, and says what it was, how it ended and its last line; STATUS and LOG are its.
tool() {
    LOG=$T/log/tool STATUS=0
    mariadb-backup --no-defaults "$@" >"$LOG" 2>&1 || STATUS=$?
    ended "$@"
}

ended() { shown "mariadb-backup $*: status $STATUS, '$(tail -n 1 "$LOG" | cut -c 1-160)'"; }

# completed: whether the tool's last run ended well by all that it says.
completed() { [ "$STATUS" -eq 0 ] && tail -n 1 "$LOG" | grep -q 'completed OK!$'; }

# take NAME BACKUP [OPTION...]: a backup of a server, to $T/BACKUP, which has to be a success.
take() {
    local name=$1 backup=$2
    shift 2
    tool --backup "--socket=$T/$name/socket" --user=root "--datadir=$T/$name/data" "--target-dir=$T/$backup" "$@"
    expect "the tool calls the backup '$backup' a success" completed
}

# prepare BACKUP...: a copy of the chain, in $T/prepared, as the tool's documentation has it.
prepare() {
    local base=$1 member
    shift
    rm -rf "$T/prepared"
    cp -a "$T/$base" "$T/prepared"
    tool --prepare "--target-dir=$T/prepared"
    expect "the tool calls the prepare a success" completed
    for member in "$@"; do
        # An apply consumes what it applies.
        cp -a "$T/$member" "$T/applied"
        tool --prepare "--target-dir=$T/prepared" "--incremental-dir=$T/applied"
        expect "the tool calls the apply of '$member' a success" completed
        rm -r "$T/applied"
    done
}

# restore NAME BACKUP...: what was prepared is moved to $T/NAME/data. What it said of its LSNs is in $T/NAME.checkpoints.
restore() {
    local name=$1
    shift
    prepare "$@"
    cp "$T/prepared/xtrabackup_checkpoints" "$T/$name.checkpoints"
    mkdir -p "$T/$name/data"
    tool --move-back "--target-dir=$T/prepared" "--datadir=$T/$name/data"
    expect "the tool calls the move-back a success" completed
}

# ---- tables that change while the tool copies ----

# THROTTLED: the tool copies Aria's tables one after the other, from a list that it makes first, and waits in between: each is copied for
# about a second, in which a statement can be run.
THROTTLED=(--parallel=1 --throttle=150)

# aria_tables NAME DATABASE TABLE...: each with 15000 rows that name their table.
aria_tables() {
    local name=$1 database=$2 table
    shift 2
    sql "$name" "CREATE DATABASE $database"
    for table in "$@"; do
        sql "$name" "USE $database; CREATE TABLE $table (owner CHAR(250)) ENGINE=Aria;
            INSERT INTO $table SELECT '$table' FROM seq_1_to_15000"
    done
}

# begin_backup NAME BACKUP [OPTION...]: in the background, throttled.
begin_backup() {
    local name=$1 backup=$2
    shift 2
    LOG=$T/log/tool
    ARGUMENTS=(--backup "--socket=$T/$name/socket" --user=root "--datadir=$T/$name/data" "--target-dir=$T/$backup" "${THROTTLED[@]}" "$@")
    mariadb-backup --no-defaults "${ARGUMENTS[@]}" >"$LOG" 2>&1 &
    TOOL_PID=$!
}

# end_backup: waits for its end.
end_backup() {
    STATUS=0
    wait "$TOOL_PID" || STATUS=$?
    TOOL_PID=''
    ended "${ARGUMENTS[@]}"
}

# copies NAME DATABASE: whether the tool has the rows of one of the database's Aria tables open.
copies() {
    kill -0 "$TOOL_PID" 2>/dev/null || cannot "the tool ended before it had copied a table of Aria"
    find "/proc/$TOOL_PID/fd" -lname "$T/$1/data/$2/*.MAD" 2>/dev/null | grep -q .
}

# not_copied BACKUP DATABASE TABLE...: those of which the tool has copied nothing yet.
not_copied() {
    local folder=$T/$1/$2 table
    shift 2
    for table in "$@"; do [ -e "$folder/$table.MAI" ] || [ -e "$folder/$table.MAD" ] || printf '%s\n' "$table"; done
}

# lsn BACKUP WHICH: from_lsn, to_lsn or last_lsn of a backup.
lsn() { sed -n "s/^$2 = //p" "$T/$1/xtrabackup_checkpoints"; }

lsns() { say "  $1: from_lsn $(lsn "$1" from_lsn), to_lsn $(lsn "$1" to_lsn), last_lsn $(lsn "$1" last_lsn)"; }
