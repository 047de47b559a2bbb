#!/usr/bin/env bash
# A writer that wants a key of its own puts its object with `If-None-Match: *`: the store is to answer 412 if the key is taken. Ceph's
# object gateway does so in a bucket without versions. In one with versions, as each with an object lock is, it answers 200 to every writer
# and makes a version of each object; who reads the key gets the last one.
# `CompleteMultipartUpload` with that header is answered 200 too, without versions as well: there the object of before is gone.
#
# Why it matters: who takes a name, a lease or a lock by such a PUT has it together with all others who did, and nobody is told. An object
# lock keeps the first object from being deleted, but the key is then another one's.
# Seen with: Ceph 16.2.15; the PUTs also with 18.2.7.
# What dbcalm-db-cmd does: it puts the last object of a backup with the header, and looks at the key before it writes, so that only two
# hosts that come in the same moment are not told. `check` warns if a bucket does not heed the header. Give each host a prefix of its own.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Another version of Debian 12: FINDINGS_CEPH_VERSION=… bash findings/NAME.sh
VERSION=${FINDINGS_CEPH_VERSION:-16.2.15+ds-0+deb12u2}
PACKAGES=(radosgw librgw2 librados2 ceph-common ceph-base ceph-mon ceph-osd)
PROGRAMS=(usr/bin/{radosgw,radosgw-admin,ceph-mon,ceph-osd,ceph-authtool,monmaptool,osdmaptool})
COMMANDS=(curl timeout)
UNPACKED=''
named() { radosgw --version | sed 's/^ceph version \([0-9.]*\).*/Ceph \1/'; }
begin

# ---- a cluster of a monitor and an OSD in memory, and the gateway ----

# free_port: one that nobody has at 127.0.0.1, below those that the kernel gives to clients.
free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)) && (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    printf '%s\n' "$port"
}

# step COMMAND...: on the way to the cluster; it has to succeed.
step() {
    LOG=$T/log/$1
    timeout --foreground 60 "$@" </dev/null >"$LOG" 2>&1 || cannot "$* failed"
    LOG=''
}

# serve NAME COMMAND...: in the background.
serve() {
    local name=$1
    shift
    "$@" </dev/null >"$T/log/$name" 2>&1 &
    SERVERS[$name]=$!
}

# has_ended NAME
has_ended() { ! kill -0 "${SERVERS[$1]}" 2>/dev/null; }

gateway_answers_or_ended() { has_ended gateway || curl -q --silent --noproxy '*' --max-time 10 --output "$T/body" "$GATEWAY/"; }

curl --help all | grep -q -- --aws-sigv4 || cannot "this curl has no --aws-sigv4"
own=$(dirname "$(find "$TREE/usr/lib" -name rados-classes)")
fsid=5f0c7f0e-0000-4000-8000-6462636c6d00
monitor=[v2:127.0.0.1:$(free_port)]
mkdir "$T/monitor" "$T/osd" "$T/gateway" "$T/run"
unset CEPH_ARGS
export CEPH_CONF=$T/ceph.conf
cat >"$CEPH_CONF" <<END
[global]
fsid = $fsid
mon_initial_members = a
mon_host = $monitor
public_addr = 127.0.0.1
ms_bind_msgr1 = false
keyring = $T/keyring
run_dir = $T/run
admin_socket = $T/run/\$name.\$pid
crash_dir = $T/run
plugin_dir = $own/ceph
erasure_code_dir = $own/ceph/erasure-code
osd_class_dir = $own/rados-classes
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 500
mon_data = $T/monitor
mon_cluster_log_file = /dev/null
# It would end if the disk were nearly full; what it writes is little.
mon_data_avail_crit = 0
mon_data_avail_warn = 0
# A monitor gathers changes for a second before it makes them; each pool waits for one.
paxos_propose_interval = 0.05
osd_data = $T/osd
osd_objectstore = memstore
rgw_data = $T/gateway
END
step ceph-authtool --create-keyring "$T/keyring" --gen-key --name mon. --cap mon 'allow *'
step ceph-authtool "$T/keyring" --gen-key --name osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
step ceph-authtool "$T/keyring" --gen-key --name client.rgw --cap mon 'allow rw' --cap osd 'allow rwx'
step monmaptool --create --addv a "$monitor" --fsid "$fsid" "$T/monmap"
# The monitor knows of the OSD from the first map on: nobody has to announce it.
step osdmaptool --createsimple 1 "$T/osdmap"
step ceph-mon --mkfs --id a --monmap "$T/monmap" --osdmap "$T/osdmap" --keyring "$T/keyring"
serve monitor ceph-mon -d --id a
step ceph-osd --mkfs --id 0 --osd-uuid "${fsid%?}1"
serve osd ceph-osd -d --id 0
# It waits for both, and makes the pools.
step radosgw-admin --name client.rgw user create --uid shop --display-name shop --access-key shop --secret-key secret
port=$(free_port)
GATEWAY=http://127.0.0.1:$port
serve gateway radosgw -d --name client.rgw "--rgw-frontends=beast endpoint=127.0.0.1:$port"
LOG=$T/log/gateway
wait_for "the gateway to answer" gateway_answers_or_ended
if has_ended gateway; then cannot "the gateway ended at once"; fi
LOG=''

# ---- what is asked of it ----

# request METHOD PATH [OPTION OF CURL...]: CODE is the answer's status, $T/head and $T/body what came with it.
request() {
    local method=$1 path=$2
    shift 2
    : >"$T/body"
    CODE=$(curl -q --silent --show-error --noproxy '*' --max-time 60 --aws-sigv4 aws:amz:us-east-1:s3 --user shop:secret \
        --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' --request "$method" --dump-header "$T/head" --output "$T/body" \
        --write-out '%{http_code}' "$@" "$GATEWAY/$path") || cannot "curl failed at $method $path"
}

# granted METHOD PATH [OPTION OF CURL...]: as `request`, and it has to succeed.
granted() {
    request "$@"
    [ "$CODE" -eq 200 ] || cannot "$1 $2 was answered $CODE: $(cat "$T/body")"
}

# told WHAT: says how a request with the header was answered, which is as if it had been heeded or as if not.
told() {
    say "$1 with 'If-None-Match: *': $CODE"
    case $CODE in
    200 | 412) ;;
    *) cannot "that is no answer to it: $(cat "$T/body")" ;;
    esac
}

# put BUCKET TEXT: to the one key that is looked at.
put() {
    request PUT "$1/key" --header 'If-None-Match: *' --data-binary "$2"
    told "PUT $1/key '$2'"
}

# complete BUCKET TEXT: the same by an upload in parts, of one part.
complete() {
    local id part
    granted POST "$1/key?uploads="
    id=$(sed -n 's/.*<UploadId>\(.*\)<.UploadId>.*/\1/p' "$T/body")
    granted PUT "$1/key?partNumber=1&uploadId=$id" --data-binary "$2"
    part=$(tr -d '\r' <"$T/head" | sed -n 's/^etag: *//Ip')
    request POST "$1/key?uploadId=$id" --header 'If-None-Match: *' --header 'Content-Type: application/xml' --data-binary \
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>$part</ETag></Part></CompleteMultipartUpload>"
    told "CompleteMultipartUpload $1/key '$2'"
}

is() { [ "$CODE" -eq "$1" ]; }

# holds BUCKET TEXT: whether that is what a reader of the key gets.
holds() {
    granted GET "$1/key"
    [ "$(cat "$T/body")" = "$2" ]
}

# has_versions BUCKET COUNT
has_versions() {
    granted GET "$1?versions="
    [ "$(grep -o '<Version>' "$T/body" | wc -l)" -eq "$2" ]
}

granted PUT plain
granted PUT versioned
granted PUT 'versioned?versioning=' --header 'Content-Type: application/xml' --data-binary \
    '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>'
granted PUT locked --header 'x-amz-bucket-object-lock-enabled: true'

say "a bucket without versions"
put plain first
expect "the key was free" is 200
put plain second
expect "the second writer is told" is 412
expect "a reader gets the first object" holds plain first

for bucket in versioned locked; do
    say "a bucket with versions$([ "$bucket" = versioned ] || echo ', by an object lock')"
    for text in first second third; do
        put "$bucket" "$text"
        expect "it was answered as if the key were free" is 200
    done
    expect "a reader gets the third object" holds "$bucket" third
    expect "the key has three versions" has_versions "$bucket" 3
done

say "an upload in parts, to the key that is taken"
complete plain parts
expect "it was answered as if the key were free" is 200
expect "a reader gets the new object" holds plain parts
expect "the first one is gone" has_versions plain 1
complete locked parts
expect "the same in the bucket with an object lock" is 200
expect "a reader gets the new object there too" holds locked parts

# In this order: each tells the next that it goes.
stop gateway
stop osd
stop monitor
still_so "in a bucket with versions each PUT with 'If-None-Match: *' is answered 200; an upload in parts is in any bucket"
