#!/usr/bin/env bash
# start-rgw.sh DIRECTORY PORT PORT PORT: starts a Ceph of one node in memory, whose gateway speaks S3 on the first port
# (user TESTKEY, secret TESTSECRET). Prints "ready" and waits. The caller kills its process group.
set -euo pipefail
dir=$1 port=$2 addr="[v2:127.0.0.1:$3,v1:127.0.0.1:$4]"
mkdir -p "$dir"/{mon,osd,run}
cd "$dir"
fsid=$(cat /proc/sys/kernel/random/uuid)
osd=$(cat /proc/sys/kernel/random/uuid)
cat > ceph.conf <<CONF
[global]
fsid = $fsid
mon host = $addr
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
mon allow pool size one = true
mon max pg per osd = 2000
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 1073741824
run dir = $dir/run
admin socket = $dir/run/\$name.asok
log file = $dir/run/\$name.log
pid file = $dir/run/\$name.pid
keyring = $dir/keyring
public addr = 127.0.0.1
cluster addr = 127.0.0.1
[mon.a]
mon data = $dir/mon
[osd.0]
osd data = $dir/osd
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
CONF
export CEPH_CONF=$dir/ceph.conf
ceph-authtool --create-keyring keyring --gen-key -n mon. --cap mon 'allow *'
monmaptool --create --fsid "$fsid" --addv a "$addr" monmap
ceph-mon --mkfs -i a --monmap monmap --keyring keyring
ceph-mon -i a -f > mon.out 2>&1 &
until timeout 3 ceph mon stat > /dev/null 2>&1; do sleep 0.2; done
ceph osd new "$osd"
ceph-osd -i 0 --mkfs --osd-uuid "$osd"
ceph-osd -i 0 -f > osd.out 2>&1 &
until timeout 3 ceph osd stat 2> /dev/null | grep -q '1 up'; do sleep 0.2; done
radosgw-admin -n client.rgw user create --uid=test --display-name=test --access-key=TESTKEY --secret-key=TESTSECRET
radosgw -n client.rgw -f > rgw.out 2>&1 &
until (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do sleep 0.1; done
echo ready
wait
