# Sends a signal to the process of a pid file, and waits for its end if that is what the signal is for. A number that was given to
# another process since is left alone. Who was started by start.sh is known by when the kernel started it; a daemon with a pid file
# of its own by its program, and by being older than the file.
gone() {
	[ -n "$boot" ] && case $signal in TERM|KILL|INT|HUP) rm -f "$pidfile" "$pidfile.log" ;; esac
	exit 0
}
look() {
	stat=$(cat "/proc/$pid/stat" 2>/dev/null) || return 1
	stat=${stat##*) }
	state=${stat%% *}
	began=$(echo "$stat" | cut -d' ' -f20)
	[ "$state" != Z ] && [ "$state" != X ]
}
[ -e "$pidfile" ] || exit 0
pid= ticks= boot=
read -r pid ticks boot < "$pidfile"
case $pid in ''|*[!0-9]*) echo "$pidfile does not begin with a process's number" >&2; exit 1 ;; esac
look || gone
if [ -n "$boot" ]; then
	[ "$boot" = "$(cat /proc/sys/kernel/random/boot_id)" ] && [ "$ticks" = "$began" ] || gone
else
	exe=$(readlink "/proc/$pid/exe") || exit 0
	exe=${exe% (deleted)}
	[ "${exe##*/}" = "$program" ] || exit 0
	# The machine's clock may have been set meanwhile; letting the wrong one go on does no harm.
	if [ "$signal" != CONT ]; then
		booted=$(sed -n 's/^btime //p' /proc/stat)
		[ $((booted + began / $(getconf CLK_TCK 2>/dev/null || echo 100))) -le $(($(stat -c %Y "$pidfile") + 2)) ] || exit 0
	fi
fi
same=$began
kill -s "$signal" "$pid" || { look || gone; exit 1; }
case $signal in TERM|KILL) ;; *) exit 0 ;; esac
i=0
while look && [ "$began" = "$same" ]; do
	[ $i -lt 100 ] || { echo "process $pid, $program, still runs 5 s after SIG$signal" >&2; exit 1; }
	sleep 0.05
	i=$((i + 1))
done
gone
