# Shared by the scripts beside it; sourced, never run.
#
# What a script starts here it also ends: everything lives in one temporary directory ($T), every process runs in a process
# group of its own and is ended by its id, and all of that happens however the script ends (`begin` sets the traps).
# shellcheck shell=bash disable=SC2034 # those who source it use what is set here

set -euo pipefail
export LC_ALL=C
# Debian keeps the server where only root's search path looks; rustup's place may not be in the path of a new login yet.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin
export PATH
# Neither the caller's daemon nor the caller's service manager has a part in this.
unset DBCALM_CONFIG DBCALM_SOCKET NOTIFY_SOCKET

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
T=''               # the temporary directory, once there is one
T_BELOW='' MOUNTED='' # of a benchmark that has its files elsewhere: the one before, and what is mounted in it
LOGS=()            # what is shown when something fails
GROUPS_STARTED=()  # process groups that may still run, oldest first
SERVER_PID='' DAEMON_PID='' STARTED_PID=''
STEP_OPEN='' STEP_BEGUN=0 SCRIPT_BEGUN=0 FAILED=''

# Where nothing but fakes is to be tested: no stand but theirs, and libtest leaves out what tests Python's side. Two tests a core, as
# in ci/suite: most of them wait.
FAKES_ONLY=(--skip orm:: --skip pythons::)
fakes_only() { export DBCALM_STANDS=fakes RUST_TEST_THREADS="${RUST_TEST_THREADS:-$(($(nproc) * 2))}"; }

if [ -t 1 ]; then BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' DIM=$'\e[2m' PLAIN=$'\e[0m'; else BOLD='' RED='' GREEN='' DIM='' PLAIN=''; fi

# ---- what is shown ----

have() { command -v "$1" >/dev/null; }

microseconds() { echo "${EPOCHREALTIME/./}"; }

# seconds MICROSECONDS: 12.34
seconds() { printf '%d.%02d' $(($1 / 1000000)) $(($1 % 1000000 / 10000)); }

# mib BYTES: 12.3 MiB
mib() { printf '%d.%d MiB' $(($1 / 1048576)) $(($1 % 1048576 * 10 / 1048576)); }

# size_of PATH...: bytes
size_of() { du -sbc -- "$@" | tail -n 1 | cut -f 1; }

# step TITLE ... done_step DETAIL: one line with the time in between.
step() {
    STEP_OPEN=$1 STEP_BEGUN=$(microseconds)
    printf '%s%-48s%s' "$BOLD" "$1" "$PLAIN"
}

done_step() {
    printf '%7s s%s\n' "$(seconds $(($(microseconds) - STEP_BEGUN)))" "${1:+   $1}"
    STEP_OPEN=''
}

# close_step: ends the line of a step that does not come to its end.
close_step() {
    [ -z "$STEP_OPEN" ] || printf '\n'
    STEP_OPEN=''
}

# note: indents its input below a step.
note() { sed "s/^/    $DIM/; s/\$/$PLAIN/"; }

die() {
    FAILED=1
    close_step
    printf '%sFAILED: %s%s\n' "$RED" "$*" "$PLAIN" >&2
    exit 1
}

# ---- beginning and end ----

# begin NAME: makes $T, and sees to it that nothing is left when the script ends.
begin() {
    SCRIPT_BEGUN=$(microseconds)
    # A signal may come while a function's output goes to a file; what is said then is for people.
    exec 3>&1 4>&2
    trap 'interrupted INT 130' INT
    trap 'interrupted TERM 143' TERM
    trap 'interrupted HUP 129' HUP
    trap 'exit 141' PIPE
    trap 'clean_up $?' EXIT
    local parent
    parent=$(cd "${TMPDIR:-/tmp}" && pwd -P)
    T=$(mktemp -d "$parent/dbcalm-$1.XXXXXX")
    # A socket's path has to fit in 108 bytes.
    [ ${#T} -le 80 ] || die "'$T' is too long a path for sockets: set TMPDIR to a shorter one"
    mkdir "$T/tmp"
    export TMPDIR=$T/tmp
}

# bench_on disk|tmpfs|ext4, after `begin`: where a benchmark has its files from then on. The disk is that of TMPDIR; `ext4` is one with a journal in a
# file there, which only root may mount: without a journal, ext4 looks past each inode that was freed in the last minutes before it gives
# out another, and a benchmark that removes what it made measures that.
bench_on() {
    case $1 in
        disk) ;;
        tmpfs) move_to "$(mktemp -d /dev/shm/dbcalm-bench.XXXXXX)" ;;
        ext4)
            truncate -s 24G "$T/image"
            mkfs.ext4 -q -F -E lazy_itable_init=0 "$T/image"
            mkdir "$T/mounted"
            mount -o loop "$T/image" "$T/mounted" || die "an image of ext4 cannot be mounted here"
            MOUNTED=$T/mounted
            mkdir "$MOUNTED/bench"
            move_to "$MOUNTED/bench"
            ;;
        *) die "--on '$1': write disk, tmpfs or ext4" ;;
    esac
}

move_to() {
    T_BELOW=$T T=$1
    mkdir "$T/tmp"
    export TMPDIR=$T/tmp
}

interrupted() {
    exec >&3 2>&4
    FAILED=interrupted
    close_step
    printf '%sinterrupted by SIG%s: cleaning up%s\n' "$RED" "$1" "$PLAIN" >&2
    exit "$2"
}

clean_up() {
    local status=$1 step=$STEP_OPEN log pid index
    set +e
    trap '' INT TERM HUP PIPE
    exec >&3 2>&4
    close_step
    if [ "$status" -ne 0 ] && [ "$FAILED" != interrupted ]; then
        [ -n "$FAILED" ] || printf '%sFAILED: %s (status %s)%s\n' "$RED" "${step:-the script}" "$status" "$PLAIN" >&2
        for log in "${LOGS[@]}"; do
            [ -s "$log" ] || continue
            printf -- '--- the end of %s\n' "$log" >&2
            tail -n 25 "$log" >&2
        done
    fi
    # The newest first: the daemon ends its jobs while their server still answers.
    for ((index = ${#GROUPS_STARTED[@]} - 1; index >= 0; index--)); do
        end_group "${GROUPS_STARTED[index]}" 40
    done
    for pid in $(jobs -p); do end_group "$pid" 40; done
    [ -z "$T" ] || rm -rf -- "$T"
    [ -z "$MOUNTED" ] || umount "$MOUNTED" || umount --lazy "$MOUNTED"
    [ -z "$T_BELOW" ] || rm -rf -- "$T_BELOW"
    exit "$status"
}

# ---- processes ----

# launch COMMAND...: starts it in the background, in a process group of its own; its id is in STARTED_PID.
#
# A shell lets what it starts in the background ignore INT and QUIT, and that is handed down: to tests, daemons and tools, whose
# answer to INT is tested.
launch() {
    setsid env --default-signal=INT,QUIT -- "$@" <&0 3>&- 4>&- &
    STARTED_PID=$!
    GROUPS_STARTED+=("$STARTED_PID")
}

# forget PID: it has ended.
forget() {
    local pid kept=()
    for pid in "${GROUPS_STARTED[@]}"; do [ "$pid" = "$1" ] || kept+=("$pid"); done
    GROUPS_STARTED=("${kept[@]}")
}

# run COMMAND...: runs it to its end, and can be interrupted in the midst.
run() {
    local status=0
    launch "$@"
    wait "$STARTED_PID" || status=$?
    forget "$STARTED_PID"
    return "$status"
}

# ended PID SECONDS: waits for its end; false if it does not come in time.
ended() {
    local deadline=$(($(microseconds) + $2 * 1000000))
    while kill -0 "$1" 2>/dev/null; do
        [ "$(microseconds)" -lt "$deadline" ] || return 1
        sleep 0.02
    done
}

# group_lives PID: whether a process of the group is more than a zombie.
group_lives() {
    kill -0 -- "-$1" 2>/dev/null || return 1
    local stat state parent group
    for stat in /proc/[0-9]*/stat; do
        # pid (name, which may hold anything) state parent group
        stat=$(cat "$stat" 2>/dev/null) || continue
        read -r state parent group _ <<<"${stat##*) }"
        [ "$group" != "$1" ] || [ "$state" = Z ] || return 0
    done
    return 1
}

# end_group PID SECONDS: SIGTERM, and, after that time, SIGKILL; to a group that `launch` started.
end_group() {
    local deadline=$(($(microseconds) + $2 * 1000000)) tries=0
    while kill -0 "$1" 2>/dev/null || group_lives "$1"; do
        if [ "$(microseconds)" -gt "$deadline" ]; then
            printf 'process %s does not end: killing it\n' "$1" >&2
            kill -KILL -- "-$1" 2>/dev/null || kill -KILL "$1" 2>/dev/null
            ended "$1" 10
            return
        fi
        # Again each second: a server that has just been started loses the signal. Nor may it lead its group yet.
        if ((tries++ % 25 == 0)); then kill -TERM -- "-$1" 2>/dev/null || kill -TERM "$1" 2>/dev/null; fi
        sleep 0.04
    done
}

# ---- a scratch server ----

as_root() { [ "$(id -u)" -eq 0 ]; }

# make_data_dir DIR LOG
make_data_dir() {
    local args=(--no-defaults "--datadir=$1" --auth-root-authentication-method=normal --skip-test-db)
    # --rpm: with --user alone it would give the server's PAM helper, outside our directory, another owner.
    if as_root; then args+=(--user=root --rpm); fi
    run mariadb-install-db "${args[@]}" >"$2" 2>&1 || { LOGS+=("$2") && die "mariadb-install-db did not make '$1'"; }
}

# start_server DIR SOCKET LOG [OPTION...]: its id is in SERVER_PID when it answers.
start_server() {
    local dir=$1 socket=$2 log=$3 deadline
    shift 3
    local args=(--no-defaults "--datadir=$dir" "--socket=$socket" "--pid-file=$socket.pid" "--tmpdir=$T/tmp" --skip-networking
        --character-set-server=utf8mb4 --skip-log-bin --innodb-log-file-size=32M)
    if as_root; then args+=(--user=root); fi
    LOGS+=("$log")
    launch mariadbd "${args[@]}" "$@" </dev/null >>"$log" 2>&1
    SERVER_PID=$STARTED_PID
    deadline=$(($(microseconds) + 60000000))
    until mariadb-admin --no-defaults "--socket=$socket" --user=root ping >/dev/null 2>&1; do
        kill -0 "$SERVER_PID" 2>/dev/null || die "the scratch server ended at once"
        [ "$(microseconds)" -lt "$deadline" ] || die "the scratch server does not answer within 60 s"
        sleep 0.05
    done
}

# stop_server PID
stop_server() {
    kill -TERM "$1"
    ended "$1" 60 || die "the scratch server does not end within 60 s"
    forget "$1"
}

# sql SOCKET [OPTION...]: runs what comes on stdin.
sql() {
    local socket=$1
    shift
    mariadb --no-defaults "--socket=$socket" --user=root --default-character-set=utf8mb4 --batch --skip-column-names "$@"
}

# ---- the daemon ----

# build: the release binary's path is in BINARY.
build() {
    BINARY=${CARGO_TARGET_DIR:-$ROOT/target}/release/dbcalm-db-cmd
    run cargo build --release --locked --quiet --manifest-path "$ROOT/Cargo.toml" || die "the build failed"
    [ -x "$BINARY" ] || die "the build left no '$BINARY'"
}

# start_store BUCKET: Ceph's gateway in a container, at ENDPOINT, for the key BENCH with the secret SECRET; false where it cannot be. It lives
# as long as this script: it ends when nobody has its FIFO open for writing.
start_store() {
    have docker && have rclone && "$ROOT/ci/setup" containers >/dev/null 2>&1 && "$ROOT/ci/images" radosgw >"$T/images.log" 2>&1 || return 1
    local container line
    mkdir "$T/life"
    mkfifo "$T/life/line"
    # shellcheck disable=SC2034 # it is only to be open
    exec {line}<>"$T/life/line"
    container=$(docker run --detach --rm --publish 127.0.0.1::8080 --volume "$T/life:/life" --tmpfs /var/lib/ceph \
        --env "USERS=owner:BENCH:SECRET keeper:K:S reader:R:S" dbcalm-test-radosgw)
    timeout 120 sh -c "until docker logs $container 2>/dev/null | grep -q 'store ready'; do sleep 0.1; done" || die "the store does not answer"
    docker exec "$container" bucket "$1" BENCH:SECRET >"$T/bucket.log" 2>&1 || { LOGS+=("$T/bucket.log") && die "the bucket"; }
    ENDPOINT=http://$(docker port "$container" 8080 | head -n 1)
}

# The image of ci/images with the oldest of the suites in it: what is linked against its C library runs on all.
BUILD_IMAGE=dbcalm-test-build

# cargo_in_container TARGET LOG ARGUMENT...: `cargo build` by this machine's toolchain in that image, which has no network; what is
# built is in TARGET.
cargo_in_container() {
    local target=$1 log=$2 sysroot home=${CARGO_HOME:-$HOME/.cargo}
    shift 2
    LOGS+=("$log")
    sysroot=$(rustc --print sysroot)
    mkdir -p "$target"
    cargo fetch --locked --quiet --manifest-path "$ROOT/Cargo.toml"
    docker run --rm --init --network none --user "$(id -u):$(id -g)" --workdir "$ROOT" \
        --volume "$sysroot:$sysroot:ro" --volume "$home:$home:ro" --volume "$ROOT:$ROOT:ro" --volume "$target:$target" \
        --env PATH="$sysroot/bin:/usr/bin:/bin" --env CARGO_HOME="$home" --env CARGO_TARGET_DIR="$target" --env HOME=/nonexistent \
        --env CARGO_PROFILE_DEV_DEBUG=0 --env CARGO_PROFILE_DEV_STRIP=true \
        "$BUILD_IMAGE" cargo build --offline --locked --quiet "$@" >"$log" 2>&1
}

# make_account SOCKET CREDENTIALS: an account for the backups, with no more than they need, and its file.
make_account() {
    local password
    password=$(head -c 18 /dev/urandom | base64 | tr '+/' '-_')
    sql "$1" <<SQL
CREATE USER 'dbcalm'@'localhost' IDENTIFIED BY '$password';
GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR ON *.* TO 'dbcalm'@'localhost';
SQL
    (umask 077 && printf '[client-dbcalm]\nuser=dbcalm\npassword=%s\nsocket=%s\n' "$password" "$1" >"$2")
}

# write_settings DATA_DIR: everything else has its place in $T.
write_settings() {
    mkdir -p "$T/backups" "$T/run"
    cat >"$T/config.yml" <<YAML
db_type: mariadb
backup_dir: $T/backups
backup_credentials_file: $T/credentials.cnf
data_dir: $1
database_path: $T/db.sqlite3
log_file: $T/dbcalm.log
YAML
}
