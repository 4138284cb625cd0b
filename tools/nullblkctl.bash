# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Completion of nullblkctl's command line for bash: options, commands, sockets,
# and the keys of the server that is meant.

_nullblkctl ()
{
  local current=${COMP_WORDS[COMP_CWORD]} words=() word skip= keys

  # Command, URI and arguments, without options.
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
      --device | --interval | --count) skip=yes ;;
      -*) ;;
      *)
        [ -n "$skip" ] || words+=("$word")
        skip=
        ;;
    esac
  done

  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "--device --json --prometheus
      --interval --count --help --version" -- "$current")
  elif [ ${#words[@]} = 0 ]; then
    mapfile -t COMPREPLY < <(compgen -W "list get set stats top reset-stats" \
      -- "$current")
  elif [ ${#words[@]} = 1 ]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  elif [ "${words[0]}" = get ] || [ "${words[0]}" = set ]; then
    keys=$(nullblkctl get "${words[1]}" 2>/dev/null |
      awk -v command="${words[0]}" 'NR > 1 && command == "get" { print $1 }
        NR > 1 && command == "set" && $2 == "yes" { print $1 "=" }')
    mapfile -t COMPREPLY < <(compgen -W "$keys" -- "$current")
    if [[ ${COMPREPLY[0]-} == *= ]]; then
      compopt -o nospace 2>/dev/null || : # called by hand
    fi
  fi
}
complete -F _nullblkctl nullblkctl
