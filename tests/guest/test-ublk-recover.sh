#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-ublk --persist, whose process is killed: another process takes the
# device over, and users of the device only wait, also if the server is away at
# the same time.  If nobody takes the device over, --detach clears it; if a
# process is about to do so, --detach waits for it.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  boot_to_ublk
  exit
fi

make_file 16M

# The process is killed under fio that verifies what it writes.
serve_file -U "$sock"
attach_ublk --persist -q 2 "$uri"
start_load verify --rw=randwrite --bs=4k --size=2M
for _ in 1 2 3; do
  replace_bridge
  io_goes_on
done
# So is the server.
before=$(process_of)
kill_server
kill -KILL "$before"
serve_file -U "$sock"
wait_until 60 served_by_another "$before" || fail "nobody takes it over"
io_goes_on
stop_load
detach_ublk
leaves_nothing "taken over"

# A filesystem stays mounted.
attach_ublk --persist "$uri"
make_filesystem ext4 "$disk"
try mount "$disk" /mnt
try dd if=/dev/urandom of="$tmp/content" bs=1M count=2
try cp "$tmp/content" /mnt/a
replace_bridge
try cp "$tmp/content" /mnt/b
try sync -f /mnt
refuses '*: it is in use*' --detach "$disk"
echo 3 >/proc/sys/vm/drop_caches
try cmp "$tmp/content" /mnt/a
try cmp "$tmp/content" /mnt/b
try umount /mnt
try e2fsck -fn "$disk"

# If nobody takes the device over, --detach --all spares it while it is mounted.
try mount "$disk" /mnt
cookie=$(ls /run/nullblk-ublk)
kill_for_good
refuses '*: it is in use, * and the process that served it *' --detach --all
attach_ublk --persist --cookie "$cookie" "$uri"
try cp "$tmp/content" /mnt/c
try umount /mnt
try e2fsck -fn "$disk"

# While no process serves the device, --detach waits for the next one, which can
# tell whether it is in use.
bridge=$(process_of)
supervisor=$(awk '$1 == "PPid:" { print $2 }' "/proc/$bridge/status")
exec 7<"$disk"
kill -STOP "$supervisor"
kill -KILL "$bridge"
"$ublk" --detach "$disk" 2>"$tmp/detach" &
detaching=$!
# detaching_waits: has --detach looked some times, or ended already?
detaching_waits ()
{
  [ "$(awk '$1 == "voluntary_ctxt_switches:" { print $2 }' \
    "/proc/$detaching/status" 2>/dev/null || echo 99)" -ge 20 ]
}
wait_until 60 detaching_waits || fail "--detach does not wait"
kill -0 "$detaching" 2>/dev/null || fail "--detach: $(cat "$tmp/detach")"
kill -CONT "$supervisor"
! wait "$detaching" || fail "a device that is in use has been detached"
grep -q 'it is in use' "$tmp/detach" || fail "--detach: $(cat "$tmp/detach")"
exec 7<&-
verify --rw=randwrite --bs=4k --size=1M

# Nobody takes the device over, until it is attached once more.
cookie=$(ls /run/nullblk-ublk)
kill_for_good
"$ublk" --list | grep '(dead)$' >/dev/null || fail "--list: $("$ublk" --list)"
reads_disk &
reader=$!
refuses '*' --cookie "$cookie" "$uri"
same=$disk
attach_ublk --persist --cookie "$cookie" "$uri"
[ "$disk" = "$same" ] || fail "$same is $disk now"
wait "$reader" || fail "I/O did not wait: $(cat "$tmp/dd")"
verify --rw=randwrite --bs=4k --size=1M

# Or until --detach clears it, by its name.
kill_for_good
reads_disk &
reader=$!
wait_until 60 disk_is_open || fail "nobody reads"
refuses '*: it is in use, * and the process that served it *' --detach --all
try "$ublk" --detach "$disk"
! wait "$reader" || fail "a device that is gone can be read"
leaves_nothing "cleared"

# A device that is only held by the aide of dead processes is in use by nobody:
# the aide flushes it, and waits for a server that is silent.
attach_ublk --persist "$uri"
write_in_vain
kill -TERM "$(process_of)"
wait_until 60 disk_is_open || fail "it does not flush"
kill_processes
exec 7<"$disk"
refuses '*: it is in use, * and the process that served it *' --detach --all
exec 7<&-
refuses '*: its process was killed before *' --detach --all
wait "$writer" || true
leaves_nothing "held by an aide"
kill -CONT "$server_pid"

# Nor is it where another process takes the device over meanwhile.
attach_ublk --persist "$uri"
write_in_vain
pid=$(process_of)
kill -TERM "$pid"
wait_until 60 disk_is_open || fail "it does not flush"
kill -KILL "$pid"
wait_until 60 served_by_another "$pid" || fail "nobody takes it over"
refuses '*: not all that was written *' --detach "$disk"
wait "$writer" || true
wait_until 60 disk_is_gone || fail "the device stays"
leaves_nothing "held by a former aide"
kill -CONT "$server_pid"

# The device can be detached while its server is away, unless it is in use.
attach_ublk --persist "$uri"
pid=$(process_of)
exec 7<"$disk"
kill_server
kill -KILL "$pid"
wait_until 60 served_by_another "$pid" || fail "nobody takes it over"
refuses '*: it is in use*' --detach "$disk"
exec 7<&-
refuses '*: not all that was written *' --detach "$disk"
wait_until 60 disk_is_gone || fail "the device stays"
leaves_nothing "detached without its server"
serve_file -U "$sock"

# A server that stays away is given up together with the device.
attach_ublk --persist=1 "$uri"
pid=$(process_of)
kill_server
kill -KILL "$pid"
fails reads_disk
wait_until 60 disk_is_gone || fail "the device stays"
leaves_nothing "given up"
