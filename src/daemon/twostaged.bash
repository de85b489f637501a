# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
# shellcheck shell=bash
#
# bash completion for twostaged(8)
#
# Options and their values are read from the output of --help.

_twostaged() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} help argument

	COMPREPLY=()
	help=$("${1/#\~/$HOME}" --help 2>/dev/null) || return
	# bash splits --option=value into three words.
	if [[ $cur == '=' ]]; then
		cur=
	elif [[ $prev == '=' && $COMP_CWORD -ge 2 ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	argument=
	[[ $prev =~ ^--[a-z-]+$ ]] &&
		argument=$(sed -n "s/^      $prev \([^ ]\{1,\}\) .*/\1/p" <<<"$help")
	case $argument in
	FILE|TRACE) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	NAMES) mapfile -t COMPREPLY < <(compgen -W "all $(
		cd /sys/bus/twostage/devices 2>/dev/null && printf '%s ' region*)" -- "$cur") ;;
	*[A-Z]*) ;;
	*'|'*) mapfile -t COMPREPLY < <(compgen -W "${argument//|/ }" -- "$cur") ;;
	*) mapfile -t COMPREPLY < <(compgen -W "$(
		sed -n 's/^  -[a-zA-Z], \(--[a-z-]*\).*/\1/p; s/^      \(--[a-z-]*\).*/\1/p' <<<"$help")" -- "$cur") ;;
	esac
}

complete -F _twostaged twostaged
