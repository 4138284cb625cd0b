# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Completion of nullblkctl's command line for bash: options, commands, sockets,
# and the keys of the server that the command line names.
#
# Anybody may have made a server's text.  So it never goes to compgen -W, which
# runs commands that it finds in words; and only those of its words are offered
# that mean nothing to the shell, as they get on its command line.

# _nullblkctl_offer CURRENT: of the words of stdin, one a line, those that are
# keys or rules' names or numbers, and begin with CURRENT.
_nullblkctl_offer ()
{
  local word

  while IFS= read -r word; do
    [[ $word =~ ^[A-Za-z0-9][A-Za-z0-9._-]*=?$ && $word == "$1"* ]] || continue
    COMPREPLY+=("$word")
  done
}

# _nullblkctl_join: set "line" to COMP_WORDS up to the current one, where a URI,
# which bash has split at colons and equals signs, is one word.
_nullblkctl_join ()
{
  local rest=${COMP_LINE-} word

  for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
    if [[ ${#line[@]} -gt 1 && -n $word && $rest == "$word"* ]]; then
      line[-1]+=$word
    else
      line+=("$word")
    fi
    rest=${rest#*"$word"}
  done
}

_nullblkctl ()
{
  local current=${COMP_WORDS[COMP_CWORD]} line=() words=() word command skip=
  local seconds=

  # Put command (of one or two words), URI and arguments into "words".
  _nullblkctl_join
  for word in "${line[@]:1:${#line[@]}-2}"; do
    [[ $word != [\'\"]*[\'\"] ]] || word=${word:1:-1}
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
    compopt -o filenames 2>/dev/null || : # fails outside of a completion
  elif [ "$command" = "fault del" ]; then
    COMPREPLY=()
    _nullblkctl_offer "$current" < <(
      nullblkctl fault list "${words[1]}" 2>/dev/null |
        awk 'NR > 1 { print $2 == "-" ? $1 : $2 }')
  elif [ "$command" = get ] || [ "$command" = set ]; then
    COMPREPLY=()
    _nullblkctl_offer "$current" < <(
      nullblkctl get "${words[1]}" 2>/dev/null |
        awk -v command="$command" 'NR > 1 && command == "get" { print $1 }
          NR > 1 && command == "set" && $2 == "yes" { print $1 "=" }')
    if [[ ${COMPREPLY[0]-} == *= ]]; then
      compopt -o nospace 2>/dev/null || : # fails outside of a completion
    fi
  fi
}
complete -F _nullblkctl nullblkctl
