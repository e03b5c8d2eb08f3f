# Says "fired" if the script has run to its end, and removes all of it.
if [ -e "$base.fired" ]; then
	echo fired
elif read -r kind who began < "$base.armed"; then
	case $kind in
	unit) systemctl stop "$who.timer" "$who.service" ;;
	process)
		stat=$(cat "/proc/$who/stat") && stat=${stat##*) } && [ "$(echo "$stat" | cut -d' ' -f20)" = "$began" ] &&
			[ "$(echo "$stat" | cut -d' ' -f4)" = "$who" ] && kill -s KILL -- "-$who" # its session's group, with the sleep
		;;
	esac
fi 2>/dev/null
rm -f "$base.sh" "$base.armed" "$base.fired" "$base.log"
