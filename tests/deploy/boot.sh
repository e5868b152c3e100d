#!/bin/sh
# Becomes a systemd that has nothing but the units in $1/units, in namespaces that the caller made (unshare: pid,
# mount, cgroup, ipc, uts): the system around it sees nothing of this but the folder $1, which is /run/out inside.
# $2 and $3 are the programs that stand at /run/bin/sekisho and /run/bin/ordeal.
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755,exec sekisho-test /run
mkdir -p /run/systemd /run/lock /run/none /run/out /run/bin
mount --bind "$1" /run/out
touch /run/bin/sekisho /run/bin/ordeal
mount --bind "$2" /run/bin/sekisho
mount --bind "$3" /run/bin/ordeal
# Nothing of the system around is changed: folders that the service writes to are others, the rest cannot be written.
mount --bind /run/out/etc /etc
mount -t tmpfs -o mode=755 sekisho-test /var/lib
mount -t tmpfs -o mode=1777 sekisho-test /tmp
mount -t tmpfs sekisho-test /sys/fs/cgroup
mount -t cgroup2 sekisho-test /sys/fs/cgroup
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -o remount,bind,ro /
# Where systemd tells what it cannot do.
touch /run/out/console
mount --bind /run/out/console /dev/console
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH=/run/out/units \
    SYSTEMD_GENERATOR_PATH=/run/none SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/run/none SYSTEMD_COLORS=0 \
    "$4" --system --unit=driver.service --show-status=0 --log-target=console
