# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Completion of nullblkctl's command line for bash: options, commands, sockets,
# and the keys of the server that is meant.

_nullblkctl ()
{
  local current=${COMP_WORDS[COMP_CWORD]} words=() word skip= keys command

  # Command (of one or two words), URI and arguments, without options.
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
      --device | --interval | --count | --from | --cond) skip=yes ;;
      -*) ;;
      *)
        [ -n "$skip" ] || words+=("$word")
        skip=
        ;;
    esac
  done

  command=${words[0]-}
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "--device --json --prometheus
      --interval --count --from --cond --all --help --version" -- "$current")
    return
  elif [ -z "$command" ]; then
    mapfile -t COMPREPLY < <(compgen -W "list get set stats top reset-stats
      zones" -- "$current")
    return
  elif [ "$command" = zones ] && [ ${#words[@]} = 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "report reset open close finish
      readonly offline" -- "$current")
    return
  elif [ "$command" = zones ]; then
    words=("${words[@]:1}")
  fi

  if [ ${#words[@]} = 1 ]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  elif [ "$command" = get ] || [ "$command" = set ]; then
    keys=$(nullblkctl get "${words[1]}" 2>/dev/null |
      awk -v command="$command" 'NR > 1 && command == "get" { print $1 }
        NR > 1 && command == "set" && $2 == "yes" { print $1 "=" }')
    mapfile -t COMPREPLY < <(compgen -W "$keys" -- "$current")
    if [[ ${COMPREPLY[0]-} == *= ]]; then
      compopt -o nospace 2>/dev/null || : # called by hand
    fi
  fi
}
complete -F _nullblkctl nullblkctl
