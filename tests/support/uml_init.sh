#!/bin/sh
# The first process of a guest in User-Mode Linux: attaches the exported disk by the kernel's NBD client, and writes
# files until that fails. Its parameters come from the kernel's command line, see user_mode_linux.py.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc none /proc
mount -t tmpfs none /mnt
mkdir /mnt/disk
busybox insmod "$NBD_MODULE"
# 10.0.2.2 is the host's loopback, says slirp.
busybox ifconfig eth0 10.0.2.15 up
nbd-client 10.0.2.2 "$NBD_PORT" /dev/nbd0 || exit
[ -z "$MAKE_FILES" ] || mkfs.ext4 -q -F /dev/nbd0
mount /dev/nbd0 /mnt/disk || exit
echo "mounted"
number=0
while [ "$number" -lt 200 ]; do
    name=$ROUND-$number
    file=/mnt/disk/$name
    head -c $((4096 * (1 + number % 24) + number)) /dev/urandom >"$file" && sync "$file" || exit
    set -- $(sha256sum "$file")
    echo "synced $name $1"
    # Each third file is replaced by its successor in one step.
    if [ $((number % 3)) = 2 ]; then
        echo "renaming $name"
        mv "$file" "/mnt/disk/$ROUND-last" && sync /mnt/disk || exit
    fi
    number=$((number + 1))
done
