# bash completion for twostage(8)                          -*- shell-script -*-
# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers

# What there is to choose from is asked of the command itself, so that it is listed once, in its help.

_twostage_regions()
{
	local region
	for region in /sys/bus/twostage/devices/region*; do
		[[ -e $region ]] && echo "${region##*/}"
	done
}

_twostage_commands()
{
	twostage --help 2>/dev/null | sed -nE 's/^  ([a-z]+) +.*/\1/p'
}

_twostage_options()
{
	twostage "$1" --help 2>/dev/null | grep -oE '(^| )--?[[:alpha:]][[:alpha:]-]*' | sort -u
}

# "      REGION * name of the region"; status has two tables, and --hooks says which
_twostage_columns()
{
	twostage "$1" --help 2>/dev/null |
		sed -nE '/^Available output columns/,$s/^ +([A-Z][A-Z-]*) [ *] .*/\1/p' | sort -u
}

_twostage_complete_columns()
{
	local done=${cur%"${cur##*[,+]}"} words
	words=$(_twostage_columns "$1")
	mapfile -t COMPREPLY < <(compgen -P "$done" -W "$words" -- "${cur##*[,+]}")
	compopt -o nospace 2>/dev/null
}

_twostage()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev='' command=${COMP_WORDS[1]-}
	COMPREPLY=()
	[[ $COMP_CWORD -gt 0 ]] && prev=${COMP_WORDS[COMP_CWORD - 1]}

	if [[ $COMP_CWORD -eq 1 ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_twostage_commands) help --help --version" -- "$cur")
		return
	fi

	case $prev in
	-o|--output) _twostage_complete_columns "$command"; return ;;
	-z|--zone) mapfile -t COMPREPLY < <(compgen -W 'movable kernel auto' -- "$cur"); return ;;
	--memmap-on-memory) mapfile -t COMPREPLY < <(compgen -W 'yes no' -- "$cur"); return ;;
	-c|--count|-s|--size|-b|--blocks|--node) return ;;
	esac

	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_twostage_options "$command")" -- "$cur")
		return
	fi

	case $command in
	remove|list|blocks|online|offline)
		mapfile -t COMPREPLY < <(compgen -W "$(_twostage_regions)" -- "$cur")
		;;
	load)
		if [[ $COMP_CWORD -eq 2 ]]; then
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -X '!*.ko*' -- "$cur"; compgen -d -- "$cur")
		fi
		mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W "region= adopt=1" -- "$cur")
		;;
	help)
		mapfile -t COMPREPLY < <(compgen -W "$(_twostage_commands)" -- "$cur")
		;;
	esac
}

complete -F _twostage twostage
