#compdef holdfast
# zsh completion for holdfast
_holdfast() {
	local line word
	local -a found
	while IFS= read -r line; do
		word=${line%%$'\t'*}
		line=${line#*$'\t'}
		found+=("${word//:/\\:}:$line")
	done < <("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
	if (( $#found )); then
		_describe holdfast found
	else
		_files
	fi
}
compdef _holdfast holdfast
