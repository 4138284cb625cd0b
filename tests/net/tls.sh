# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What the tests of TLS share.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-img
requires_ipv6
has_tls || skip "this nbdkit has no TLS"

# The server's names.  libnbd 1.14 cannot do without: it sends an IPv6 address
# as the name of the server it wants, which TLS does not allow.
cat >"$tmp/hosts" <<END
10.77.1.1 server4.test impostor.test
fd77:1::1 server6.test
END
[ -e /etc/hosts ] || skip "there is no /etc/hosts to put another over"
mount --bind "$tmp/hosts" /etc/hosts

# encrypted_both_ways URI SERVER TLS-CREDS: by nbdcopy, then by qemu-img, whose
# object tls-creds is TLS-CREDS.
encrypted_both_ways ()
{
  local size=$((16 << 20)) said
  local target=driver=nbd,host=$2,port=10809,tls-creds=tls

  "${on_client[@]}" nbdinfo "$1" >"$tmp/info" 2>"$tmp/err" ||
    fail "nbdinfo $1: $(cat "$tmp/err")"
  grep -q '^protocol: .* with TLS' "$tmp/info" ||
    fail "not encrypted: $(cat "$tmp/info")"
  copy_both_ways "$1"

  random_file "$tmp/sent" "$(new_seed)" "$size"
  "${on_client[@]}" qemu-img convert -n --object "$3,id=tls" \
    --target-image-opts -f raw "$tmp/sent" "$target"
  "${on_client[@]}" qemu-img convert --object "$3,id=tls" \
    --image-opts -O raw "$target" "$tmp/back"
  same "$tmp/sent" "$tmp/back"
  said=$("${on_client[@]}" qemu-img compare --object "$3,id=tls" \
    --image-opts "$target" driver=raw,file.filename="$tmp/sent")
  [ "$said" = 'Images are identical.' ] || fail "qemu-img compare: $said"

  # The second client sees what the first has written.
  unchanged "$1"
}

# unchanged URI: what was sent last is still there.
unchanged ()
{
  copy "$1" "$tmp/again"
  same "$tmp/sent" "$tmp/again"
}

# plaintext_refused SERVER
plaintext_refused ()
{
  # Not nbdinfo --size, which since libnbd 1.22 loses the reason.
  refused client 'server requires TLS' "${on_client[@]}" \
    nbdcopy "nbd://$1" "$tmp/never"
  refused client 'TLS negotiation required' "${on_client[@]}" \
    qemu-img info "nbd://$1"
}
