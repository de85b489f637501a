# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
# shellcheck shell=bash
#
# bash completion for twostage(8)
#
# Commands, options, their values and columns are read from the output of
# --help, so that they are listed in one place only.

# The commands in the help on stdin
_twostage_commands() {
	sed -n '/^Commands:/,/^$/s/^  \([a-z]\{1,\}\) .*/\1/p'
}

# The options, long and short, in a command's help on stdin
_twostage_options() {
	sed -n 's/^  \(-[a-zA-Z]\), \(--[a-z-]*\).*/\1 \2/p; s/^      \(--[a-z-]*\).*/\1/p'
}

# The argument of option $1 ("N", "yes|no") in a command's help on stdin; empty
# if the option has none
_twostage_argument() {
	sed -n -e "s/^  \(-[a-zA-Z], \|    \)$1 \([^ ]\{1,\}\).*/\2/p" -e "s/^  $1, --[a-z-]* \([^ ]\{1,\}\).*/\1/p"
}

# The output columns in a command's help on stdin. $1 is an option that has
# columns of its own, or empty
_twostage_columns() {
	local with=${1:+/^With $1:/,\$}

	sed -n -e "${with:-/^With /q; 1,\$} s/^ *\([A-Z-]\{1,\}\) [* ] .*/\1/p"
}

# The names of the files in /sys that match the pattern $1
_twostage_names() {
	local path

	for path in "${TWOSTAGE_SYSROOT-}"/sys/$1; do
		[[ -e $path ]] && printf '%s\n' "${path##*/}"
	done
}

_twostage_reply() {
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

_twostage_files() {
	if declare -F _filedir >/dev/null; then
		_filedir "$1"
	else
		mapfile -t COMPREPLY < <(compgen -f -X "!*.$1" -- "$cur"; compgen -d -S / -- "$cur")
	fi
}

# Complete the last name of "NAME,NAME" or "+NAME,NAME".
_twostage_column_list() {
	local last=${cur##*[,+]}

	mapfile -t COMPREPLY < <(compgen -P "${cur%"$last"}" -W "$1" -- "${last^^}")
	compopt -o nospace 2>/dev/null
}

# Complete the argument of an option; $1 is its name in the help.
_twostage_complete_argument() {
	local with=

	case $1 in
	*'|'*)	_twostage_reply "${1//|/ }" ;;
	COLUMNS)
		[[ $command == status && " ${words[*]} " == *' --hooks '* ]] && with=--hooks
		_twostage_column_list "$(_twostage_columns "$with" <<<"$help")"
		;;
	BLOCKS)	_twostage_reply "$("$program" blocks -n -r -o BLOCK 2>/dev/null)" ;;
	esac
	[[ $1 == N && $prev == --node ]] &&
		_twostage_reply "$(_twostage_names 'devices/system/node/node[0-9]*' | sed 's/^node//')"
}

# Complete what is not an option, according to the command's usage line.
_twostage_complete_operand() {
	local usage

	usage=$(sed -n '/^$/q; p' <<<"$help")
	if [[ $usage == *REGION* ]]; then
		_twostage_reply "$(_twostage_names 'bus/twostage/devices/region*')"
	elif [[ $usage == *FILE* && $cword -eq 2 ]]; then
		_twostage_files ko
	fi
	if [[ $usage == *PARAMETER=* ]]; then
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(
			compgen -W "$(sed -n 's/^  \([a-z_]\{1,\}=\).*/\1/p' <<<"$help")" -- "$cur")
		[[ ${COMPREPLY[*]} == *= ]] && compopt -o nospace 2>/dev/null
	fi
}

# Set cur, prev, words and cword without the package bash-completion.
_twostage_words() {
	words=("${COMP_WORDS[@]}")
	cword=$COMP_CWORD
	cur=${words[cword]}
	prev=${words[cword - 1]}
	# bash splits --option=value into three words.
	if [[ $cur == '=' ]]; then
		cur=
	elif [[ $prev == '=' && $cword -ge 2 ]]; then
		prev=${words[cword - 2]}
	fi
}

_twostage() {
	# shellcheck disable=SC2034 # _init_completion sets split
	local cur prev words cword split program=${1/#\~/$HOME} command help argument

	COMPREPLY=()
	if declare -F _init_completion >/dev/null; then
		_init_completion -s || return
	else
		_twostage_words
	fi

	command=${words[1]-}
	if [[ $cword -le 1 || $command == help ]]; then
		help=$("$program" --help 2>/dev/null)
		_twostage_reply "$(_twostage_commands <<<"$help") $(_twostage_options <<<"$help")"
		return
	fi
	help=$("$program" "$command" --help 2>/dev/null) || return

	argument=
	[[ $prev =~ ^-(-[a-z-]+|[a-zA-Z])$ ]] && argument=$(_twostage_argument "$prev" <<<"$help")
	if [[ $argument ]]; then
		_twostage_complete_argument "$argument"
	elif [[ $cur == -* ]]; then
		_twostage_reply "$(_twostage_options <<<"$help")"
	else
		_twostage_complete_operand
	fi
}

complete -F _twostage twostage
