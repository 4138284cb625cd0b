#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Linux's null_blk counts a zone that was closed and is made offline or
# read-only as active for ever, where no more zones may be open.
#
# Seen with Linux 6.12.117 (Debian 12), in a virtual machine.
#
# Active zones are those that are open or closed, and zone_max_active is the
# most there may be.  Below, one zone may be open and two may be active.  Zone 1
# is written and closed, zone 2 is opened, and zone 1 is made offline through
# configfs.  Zone 2 is closed again, and is empty then, as nothing was written
# to it.  Now no zone is active, so zones 3 and 4 can be written and closed.
# But the write to zone 4 is refused, as if a third zone became active.
# null_blk finishes a zone before it makes it offline, and opens it for that,
# which zone 2 does not let it do; it goes on without taking the zone off the
# count.  Without zone 2 the count is right.  What was printed (0: written):
#
#   zone_offline with another zone open: zone 1 is offline, write to 3: 0, 4: 1
#   zone_offline with no zone open: zone 1 is offline, write to 3: 0, 4: 0
#   zone_readonly with another zone open: zone 1 is read-only, write to 3: 0, 4: 1
#   zone_readonly with no zone open: zone 1 is read-only, write to 3: 0, 4: 0
#
# Needs what packages.sh says, qemu-system-x86_64 and cpio.  Ends with 1 where
# that is not seen.

set -euo pipefail
# shellcheck source=findings/packages.sh
. "$(dirname "$0")/packages.sh"
begin
release=6.12.117+deb12-cloud-amd64
unpack "linux-image-$release=6.12.117-1~deb12u1" \
  busybox-static=1:1.35.0-4+deb12u1+b1 util-linux=2.38.1-5+deb12u3

# The virtual machine's files: busybox, blkzone with its libraries, null_blk and
# what that module needs.
mkdir -p guest/{bin,dev,proc,sys,lib,modules}
cp "$(find root -name busybox -path '*bin/*')" guest/bin/busybox
cp "$(find root -name blkzone -path '*bin/*')" guest/bin/blkzone
cp "$(find root -name ld-linux-x86-64.so.2 -type f)" guest/lib/
find root -name libc.so.6 -exec cp {} guest/lib/ \;
find root -path "*$release*" \( -name 'null_blk.ko*' -o \
  -name 'configfs.ko*' \) -exec cp {} guest/modules/ \;
cat >guest/init <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
for m in configfs null_blk; do
  for f in /modules/$m.ko*; do
    [ ! -e "$f" ] || insmod "$f" $([ $m = configfs ] || echo nr_devices=0)
  done
done
mount -t configfs none /sys/kernel/config

blkzone ()
{
  /lib/ld-linux-x86-64.so.2 --library-path /lib /bin/blkzone "$@"
}

# writes ZONE: one block, and closes the zone
writes ()
{
  dd if=/dev/zero of=/dev/nullb0 bs=4k count=1 seek=$(($1 * 512)) \
    oflag=direct conv=notrunc 2>/dev/null && blkzone close -o $(($1 * 4096)) \
    -c 1 /dev/nullb0
}

# try ATTRIBUTE OPEN: of zone 1, while zone 2 is open where OPEN is not empty
try ()
{
  local d=/sys/kernel/config/nullb/nullb0 third=0 fourth=0 condition

  mkdir $d
  for v in size=32 memory_backed=1 blocksize=4096 zoned=1 zone_size=2 \
    zone_max_open=1 zone_max_active=2 power=1; do
    echo "${v#*=}" >$d/${v%%=*}
  done
  writes 1
  [ -z "$2" ] || blkzone open -o 8192 -c 1 /dev/nullb0
  echo 4096 >$d/$1
  [ -z "$2" ] || blkzone close -o 8192 -c 1 /dev/nullb0
  case $(blkzone report -o 4096 -c 1 /dev/nullb0) in
    *'(of)'*) condition=offline ;;
    *'(ro)'*) condition=read-only ;;
    *) condition=neither ;;
  esac
  writes 3 || third=1
  writes 4 2>/dev/null || fourth=1
  echo "SEEN $1 with ${2:-no zone} open: zone 1 is $condition," \
    "write to 3: $third, 4: $fourth"
  echo 0 >$d/power
  rmdir $d
}

for attribute in zone_offline zone_readonly; do
  try $attribute 'another zone'
  try $attribute ''
done
poweroff -f
INIT
chmod +x guest/init
ln -s bin/busybox guest/busybox
mkdir guest/lib64
ln -s ../lib/ld-linux-x86-64.so.2 guest/lib64/ld-linux-x86-64.so.2
sed -i '1s|.*|#!/busybox sh|' guest/init
(cd guest && find . | cpio --quiet -o -H newc) >initramfs

timeout 600 qemu-system-x86_64 -machine q35,accel=tcg -cpu max -m 512 \
  -nodefaults -no-reboot -display none -serial file:console \
  -kernel "$(find root -name "vmlinuz-$release")" -initrd initramfs \
  -append 'console=ttyS0 quiet panic=-1' </dev/null
sed -n 's/\r$//; s/^SEEN //p' console | tee seen
cmp seen - <<'SEEN'
zone_offline with another zone open: zone 1 is offline, write to 3: 0, 4: 1
zone_offline with no zone open: zone 1 is offline, write to 3: 0, 4: 0
zone_readonly with another zone open: zone 1 is read-only, write to 3: 0, 4: 1
zone_readonly with no zone open: zone 1 is read-only, write to 3: 0, 4: 0
SEEN
