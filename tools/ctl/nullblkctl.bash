# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Completion of nullblkctl's command line for bash: options, commands, sockets,
# and the keys of the server that is meant.

_nullblkctl ()
{
  local current=${COMP_WORDS[COMP_CWORD]} words=() word skip= keys command
  local seconds=

  # Command (of one or two words), URI and arguments, without options.
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
      --device | --interval | --count | --from | --cond | --after | --lose | \
        --seed | --to) skip=yes ;;
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
      --interval --count --from --cond --all --after --lose --seed --to
      --list --help --version" -- "$current")
    return
  elif [ "${COMP_WORDS[COMP_CWORD-1]}" = --lose ]; then
    mapfile -t COMPREPLY < <(compgen -W "random all none" -- "$current")
    return
  elif [ -z "$command" ]; then
    mapfile -t COMPREPLY < <(compgen -W "list get set stats top reset-stats
      zones badblocks fault power mark replay" -- "$current")
    return
  fi
  case $command in
    zones) seconds="report reset open close finish readonly offline" ;;
    badblocks) seconds="add del list clear" ;;
    fault) seconds="add del list" ;;
    power) seconds="cut on status" ;;
  esac
  if [ -n "$seconds" ] && [ ${#words[@]} = 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "$seconds" -- "$current")
    return
  elif [ -n "$seconds" ]; then
    command+=" ${words[1]}"
    words=("${words[@]:1}")
  fi

  if [ ${#words[@]} = 1 ] || [ "$command" = replay ]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  elif [ "$command" = "fault del" ]; then
    keys=$(nullblkctl fault list "${words[1]}" 2>/dev/null |
      awk 'NR > 1 { print $2 == "-" ? $1 : $2 }')
    mapfile -t COMPREPLY < <(compgen -W "$keys" -- "$current")
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
