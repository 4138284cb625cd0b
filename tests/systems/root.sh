# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Roots of Debian's releases: what run, packages and i386 share.  To be sourced
# after build-aux/setup.sh.  A script that uses it sets
#
#   $suite         bookworm, trixie or sid
#   $architecture  of Debian's; by default that of this machine
#   $here          a directory of its own for that suite
#
# and calls lock_suite once, and begin_root, which makes $root, a directory with
# a fresh Debian.  It is removed at the end, however the script ends, and
# in_root runs a command in it as a container would.

# shellcheck disable=SC2034 # read by the scripts
suites=(bookworm trixie sid)
suite=''
architecture=$(dpkg --print-architecture)
here=''

# mirror LABEL: where this machine has a part of Debian from.
mirror ()
{
  # shellcheck disable=SC2016 # apt's own
  apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' \
    'Created-By: Packages' |
    awk -v label="$1" '$1 == "Debian" && $2 == label && !n++ { print $3 }'
}

# sources: print the lines of sources.list that a new Debian has.
sources ()
{
  local main security

  main=$(mirror Debian)
  security=$(mirror Debian-Security)
  [ -n "$main" ] || die "apt-get indextargets tells of no archive of Debian's"
  echo "deb $main $suite main"
  [ "$suite" = sid ] || {
    echo "deb $main $suite-updates main"
    [ -z "$security" ] || echo "deb $security $suite-security main"
  }
}

# settings_of_apt: print how this machine reaches the archive.
settings_of_apt ()
{
  apt-config dump Acquire |
    grep -iE '^Acquire::(http|https|ftp|Check|Retries|.*Proxy)' || true
  # sid's lists are not always young where they are a snapshot.
  echo 'Acquire::Check-Valid-Until "false";'
  # Else a package is fetched again in every run.
  echo 'Binary::apt-get::APT::Keep-Downloaded-Packages "true";'
}

make_root ()
{
  command -v mmdebstrap >/dev/null || die "mmdebstrap is missing"
  say "making a root of $suite"
  sources >"$here/sources"
  quietly "$suite-mmdebstrap" mmdebstrap --variant=minbase \
    --architectures="$architecture" --aptopt="$here/apt.conf" "$suite" "$here/new.tar" "$here/sources"
  mv "$here/new.tar" "$here/root.tar"
}

# Unpack the root, and put into it what a container gets from its host.
lay_root ()
{
  local f

  # If $root were empty, the following would change files of the host.
  [[ $root = "$here"/root-?* && -d $root ]] || die "'$root' is no root"
  chmod 755 "$root"
  tar -C "$root" --exclude='./dev/*' -xf "$here/root.tar"
  cp "$here/apt.conf" "$root/etc/apt/apt.conf.d/99host"
  # The root is thrown away, and need not be safe from power cuts.
  echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
  for f in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
    [ -e "$f" ] || continue
    mkdir -p "$root${f%/*}"
    rm -f "$root$f"
    cp -L "$f" "$root$f"
  done
  mkdir "$root/src"
}

# A script that is run in new namespaces: enter ROOT ARCHIVES COMMAND...
enter=$(cat <<'END'
set -euo pipefail
root=$1 archives=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sys "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
mkdir "$root"/dev/{pts,shm,net}
mount -t devpts -o newinstance,ptmxmode=666,gid=5 devpts "$root/dev/pts"
mount -t tmpfs shm "$root/dev/shm"
for f in null zero full random urandom tty net/tun; do
  touch "$root/dev/$f"
  mount --bind "/dev/$f" "$root/dev/$f" || rm "$root/dev/$f"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=755 run "$root/run"
mount --bind "$archives" "$root/var/cache/apt/archives"
hostname nullblk
cd "$root"
mkdir old
pivot_root . old
umount -l /old
rmdir /old
cd /src
exec "$@"
END
)

# in_root COMMAND...: run it as the first process of the root: when it ends, or
# this script does, all ends that it has started.  Does not return.
in_root ()
{
  local personality=() # so that uname says it

  [ "$architecture" != i386 ] || personality=(setarch i386)
  exec 9>&-
  exec setpriv --pdeathsig KILL \
    "${personality[@]}" unshare --mount --pid --uts --ipc --fork --kill-child --wd / \
    bash -c "$enter" enter "$root" "$here/archives" \
    env -i HOME=/root TERM="${TERM-dumb}" \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    "${environment[@]}" "$@"
}

#----------------------------------------------------------------------

# What a container is told of its host's ways out.
environment=()
for name in http_proxy https_proxy no_proxy; do
  [ -z "${!name-}" ] || environment+=("$name=${!name}")
done

child=''
root=''
clean_up ()
{
  local status=$? i

  set +e
  trap '' INT TERM HUP
  if [ -n "$child" ]; then
    kill -KILL "$child" 2>/dev/null
    wait "$child" 2>/dev/null
  fi
  # The last of what was killed may still write.
  for ((i = 0; i < 100; i++)); do
    if [ -z "$root" ] || rm -rf --one-file-system "$root" 2>/dev/null; then
      break
    fi
    sleep 0.1
  done
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# lock_suite: dies if another run has this $here; else it is ours until the end.
lock_suite ()
{
  mkdir -p "$here"
  exec 9>"$here/lock"
  flock -n 9 || die "a run of $suite is under way"
}

# begin_root: make $root, from a root.tar that is in $here or is made first.
begin_root ()
{
  mkdir -p "$here/archives"
  settings_of_apt >"$here/apt.conf"
  [ -e "$here/root.tar" ] || make_root
  rm -rf --one-file-system "$here"/root-* # of one that was killed
  root=$(mktemp -d "$here/root-XXXXXX") || die "no root can be made in $here"
  lay_root
}
