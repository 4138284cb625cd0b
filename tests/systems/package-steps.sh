#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What tests/systems/packages runs in its roots:
#
#   package-steps.sh STEP
#
# /packages has the release; where there are any, fio's sources in fio, and the
# packages of an earlier release in old; after the step build the packages in
# deb, and after the step rpm those in rpm.

set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
cd /packages

fail ()
{
  echo "$*"
  exit 1
}

install ()
{
  apt-get -q -y --no-install-recommends install "$@"
}

# ours: which of our packages are installed, or have left something.
ours ()
{
  # shellcheck disable=SC2016 # dpkg's own
  dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' \
    '*nullblk*' 2>/dev/null | sed '/^not-installed/d; s/^[^ ]* //' || true
}

# begin_systemd: the scripts of packages call systemctl if systemd runs, which
# it does not here.  Pretend that it does, with a systemctl that writes its
# arguments to /packages/asked.  (rpm 4.20 hides /tmp from scripts.)
begin_systemd ()
{
  mkdir -p /run/systemd/system /packages/bin
  cat >/packages/bin/systemctl <<'END'
#!/bin/sh
echo "$@" >>/packages/asked
END
  chmod +x /packages/bin/systemctl
  rm -f /packages/asked
  export PATH=/packages/bin:$PATH
}

# was_asked: systemctl must have been called with the lines of stdin, and no
# others.
was_asked ()
{
  diff - /packages/asked || fail "< was to be asked of systemctl, and > was"
}

# end_server SOCKET: end a server that was started with --pidfile /tmp/pid.
# nbdkit leaves its socket behind.
end_server ()
{
  kill "$(cat /tmp/pid)"
  rm -f /tmp/pid "$1"
}

# list_all: all files, but for logs, caches, lists of packages and what the
# steps themselves make.
list_all ()
{
  find / -xdev \( -path /packages -o -path /proc -o -path /tmp -o -path /root \
    -o -path /var/cache -o -path /var/log -o -path /var/lib/apt \
    -o -path /var/lib/dpkg \) -prune -o -print | sort
}

step_build ()
{
  local fio=()

  apt-get -q update
  install dpkg-dev fakeroot lintian xz-utils
  mkdir /tmp/tree
  tar -C /tmp/tree --strip-components=1 -xf nullblk-*.tar.xz
  if [ -e fio ]; then
    fio=(/packages/fio)
    install fio
  fi
  (cd /tmp/tree && apt-get -q -y --no-install-recommends build-dep ./)
  /tmp/tree/packaging/make-deb /packages/nullblk-*.tar.xz /packages/deb \
    "${fio[@]}"
}

# Build again, as another user, in another place, with another umask, locale and
# time zone: the packages must be the same.
step_again ()
{
  local dir=/var/tmp/another/and/longer/directory fio=() f

  mkdir -p "$dir"
  chown nobody: "$dir"
  [ ! -e fio ] || fio=(/packages/fio)
  setpriv --reuid=nobody --regid=nogroup --clear-groups \
    env HOME=/nonexistent TZ=Asia/Kathmandu LC_ALL=C.UTF-8 bash -c \
    'umask 027 && exec "$@"' bash \
    /tmp/tree/packaging/make-deb /packages/nullblk-*.tar.xz "$dir/deb" \
    "${fio[@]}"
  for f in deb/*.{deb,dsc,debian.tar.xz}; do
    cmp "$f" "$dir/$f"
    echo "the same: $f"
  done
}

step_lintian ()
{
  lintian --version
  # With --show-overrides, what is overridden would count as an error.
  lintian --allow-root --display-info --show-overrides deb/*.changes
  lintian --allow-root --fail-on error,warning deb/*.changes
}

# Make packages of the spec by Debian's rpmbuild.
step_rpm ()
{
  local fio=()

  [ ! -e fio ] || fio=(/packages/fio)
  install rpm
  /tmp/tree/packaging/make-rpm /packages/nullblk-*.tar.xz /packages/rpm \
    "${fio[@]}"
}

step_install ()
{
  local engine

  apt-get -q update
  apt-get -s --no-install-recommends install ./deb/*.deb |
    awk '$1 == "Inst" && $2 !~ /nullblk/ { print $2 }' |
    xargs apt-get -q -y --no-install-recommends install
  list_all >before
  if [ -e old ]; then
    install ./old/*.deb
    nullblk-serve -U /tmp/old --pidfile /tmp/pid 1M memory-backed=true
  fi
  install ./deb/*.deb
  if [ -e old ]; then
    # The new nullblkctl, and a server of the old release.
    nullblkctl set /tmp/old read-only=true
    end_server /tmp/old
  fi
  # shellcheck disable=SC2016 # dpkg's own
  dpkg-query --show --showformat \
    '${Package} ${Version}, ${Installed-Size} KiB: ${Depends}\n' '*nullblk*'
  ls -l deb/*.deb
  ours | xargs dpkg --listfiles | sort -u
  nbdkit nullblk --version
  engine=$(dpkg --listfiles nullblk-fio 2>/dev/null | grep '\.so$' || true)
  if [ -n "$engine" ]; then
    nullblk-serve -U /tmp/zoned --pidfile /tmp/pid 16M zoned=true zone-size=1M
    (cd /tmp && fio --name=w --ioengine="external:$engine" \
      --uri='nbd+unix:///?socket=/tmp/zoned' --zonemode=zbd --rw=write \
      --bs=64k --size=4M)
    end_server /tmp/zoned
  fi
}

# Install a version that differs only in its number.  A running server must go
# on.
step_upgrade ()
{
  local f version

  mkdir /tmp/next
  for f in deb/*.deb; do
    [[ $f != *dbgsym* ]] || continue
    rm -rf /tmp/unpacked
    dpkg-deb --raw-extract "$f" /tmp/unpacked
    version=$(sed -n 's/^Version: //p' /tmp/unpacked/DEBIAN/control)
    sed -i "/^Version:\|^Depends:/s/$version/$version.1/g" \
      /tmp/unpacked/DEBIAN/control
    dpkg-deb --build /tmp/unpacked "/tmp/next/${f##*/}"
  done
  nullblk-serve -U /tmp/socket --pidfile /tmp/pid 1M memory-backed=true
  begin_systemd
  install -o DPkg::Path="$PATH" /tmp/next/*.deb
  was_asked <<<'--system daemon-reload'
  # shellcheck disable=SC2016 # dpkg's own
  ! dpkg-query --show --showformat '${Package} ${Version}\n' '*nullblk*' |
    grep -v '\.1$' || fail "that is not upgraded"
  nullblkctl set /tmp/socket read-only=true
  nullblkctl get /tmp/socket read-only
  end_server /tmp/socket
}

# What an administrator has enabled goes with the packages, too.
step_remove ()
{
  local wants=/etc/systemd/system/multi-user.target.wants packages

  if [ ! -e "$wants" ]; then
    mkdir -p "$wants"
  fi
  ln -s /usr/lib/systemd/system/nullblk@.service "$wants/nullblk@ram.service"
  mkdir /etc/systemd/system/another.target.wants
  mapfile -t packages < <(ours)
  begin_systemd
  apt-get -q -y -o DPkg::Path="$PATH" remove "${packages[@]}"
  was_asked <<'END'
stop nullblk-attach@*.service
stop nullblk@*.socket nullblk@*.service nullblk-socket@*.service
--system daemon-reload
END
  [ -h "$wants/nullblk@ram.service" ] || fail "to remove is not to purge"
  # dpkg only warns of packages that have left nothing.
  dpkg --purge "${packages[@]}"
  rmdir /etc/systemd/system/another.target.wants # which is not ours
  list_all >after
  diff before after
  [ -z "$(ours)" ] || fail "left: $(ours)"
}

# files_of_debs, files_of_rpms: print PACKAGE FILE for each file that both kinds
# of packages are to have, by Debian's names.
files_of_debs ()
{
  local f

  for f in deb/*.deb; do
    [[ $f != *dbgsym* ]] || continue
    dpkg-deb --fsys-tarfile "$f" | tar -t | grep -v '/$' |
      sed "s,^\.,$(dpkg-deb --field "$f" Package) ,"
  done | grep -v '/lintian/\|/doc/.*/\(copyright\|changelog[^/]*\)$' | same_names
}

files_of_rpms ()
{
  rpm --query --package rpm/RPMS/*/*.rpm \
    --queryformat '[%{=NAME} %{FILEMODES:perms} %{FILENAMES}\n]' |
    awk '$2 !~ /^d/ { print $1, $3 }' |
    sed 's/^nbdkit-nullblk-plugin /nbdkit-plugin-nullblk /' |
    grep -v '/share/licenses/\|/\.build-id/' | same_names
}

# Where libraries are, and what is compressed, differs between the two kinds.
same_names ()
{
  sed 's,/usr/lib\(64\|/[^/]*-linux-gnu\)/,/usr/lib/,; s/\.gz$//' | sort
}

# Install, upgrade and remove by rpm itself, without dependencies: its database
# is empty here, so it does not know what is installed.
step_rpm-install ()
{
  # The PATH of the packages' scripts, with the systemctl of begin_systemd.
  local rpm=(rpm --dbpath /tmp/rpmdb --nodeps
    --define '_install_script_path /packages/bin:/sbin:/bin:/usr/sbin:/usr/bin')

  install rpm
  # Up to rpm 4, Debian's installs nothing without --force-debian.
  ! rpm --force-debian --version >/dev/null || rpm+=(--force-debian)
  files_of_debs >/tmp/debs
  files_of_rpms >/tmp/rpms
  diff /tmp/debs /tmp/rpms || fail "< is in .deb alone, > in .rpm alone"
  echo "the same $(wc -l </tmp/rpms) files"
  for f in rpm/RPMS/*/*.rpm; do
    rpm --query --package --requires "$f" | sed "s,^,${f##*/} wants ,"
  done
  # A package of all systems of RPM's has these.
  mkdir -p /usr/share/licenses /usr/src/debug
  list_all >before
  begin_systemd
  "${rpm[@]}" --install rpm/RPMS/*/*.rpm
  was_asked <<<daemon-reload
  rm /packages/asked
  nbdkit nullblk --version
  nullblk-serve -U /tmp/socket --pidfile /tmp/pid 1M memory-backed=true
  # The same version once more is an upgrade as any other.
  "${rpm[@]}" --upgrade --replacepkgs rpm/RPMS/*/*.rpm
  was_asked <<'END'
daemon-reload
daemon-reload
END
  rm /packages/asked
  nullblkctl set /tmp/socket read-only=true
  end_server /tmp/socket
  rpm --dbpath /tmp/rpmdb --query --all --queryformat '%{NAME}\n' |
    xargs "${rpm[@]}" --erase
  was_asked <<'END'
stop nullblk-attach@*.service
stop nullblk@*.socket nullblk@*.service nullblk-socket@*.service
daemon-reload
END
  list_all >after
  diff before after
}

step_tests ()
{
  local status=0

  install autopkgtest
  autopkgtest --summary-file=/packages/summary deb/*.deb deb/*.dsc -- null ||
    status=$?
  cat summary
  # 2: a test was skipped.
  [ "$status" = 0 ] || [ "$status" = 2 ] || fail "autopkgtest: $status"
  awk '$2 == "SKIP" { print "skipped: " $1 }' summary
}

"step_${1:?}"
