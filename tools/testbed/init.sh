#!/bin/sh
# First process of a test host: makes the container a place that systemd can run in, then becomes systemd.
set -eu

# Docker mounts the container's own control group tree read-only, and systemd writes to it. Mounting the machine's tree
# in its place would work too, but all hosts would then share one group per unit name.
if [ -f /sys/fs/cgroup/cgroup.controllers ] || ! grep -qv '^0::' /proc/self/cgroup; then
    # cgroup v2. The second question is for images that declare a volume there, which hides the tree.
    umount /sys/fs/cgroup
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup
else
    while read -r _ target type _; do
        case "$type" in
            cgroup | cgroup2) mount -o remount,bind,rw "$target" ;;
        esac
    done </proc/self/mounts
fi

if [ -d /proc/sys/net/ipv6 ]; then
    # Docker turns IPv6 off in a container; a host has at least its loopback address.
    mount -o remount,bind,rw /proc/sys
    echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6
    mount -o remount,bind,ro /proc/sys
fi
exec /lib/systemd/systemd
