# Starts "$@" in a session of its own. The process writes itself into the pid file before it becomes the program, so that it can
# be found whoever dies meanwhile: its number, when the kernel started it (field 22 of proc_pid_stat(5)), and of which boot that is.
umask 077
boot=$(cat /proc/sys/kernel/random/boot_id) || exit 1
began() { stat=$(cat "/proc/$1/stat" 2>/dev/null) && stat=${stat##*) } && echo "$stat" | cut -d' ' -f20; }
mkdir -p "$dir" || exit 1
if read -r pid ticks of < "$pidfile"; then
	[ "$of" = "$boot" ] && [ "$(began "$pid")" = "$ticks" ] && exit 0 # it runs already
fi 2>/dev/null
rm -f "$pidfile"
setsid sh -c '
	ticks=$(cut -d" " -f22 "/proc/$$/stat") && echo "$$ $ticks $1" > "$2.new" && mv "$2.new" "$2" || exit 1
	shift 2
	exec "$@"
' sh "$boot" "$pidfile" "$@" </dev/null >"$pidfile.log" 2>&1 &
i=0
while [ ! -e "$pidfile" ] && [ $i -lt 100 ]; do sleep 0.05; i=$((i + 1)); done
sleep 0.2 # a program with wrong arguments has ended by then
if read -r pid ticks of < "$pidfile" && [ "$(began "$pid")" = "$ticks" ] && ! grep -q '^State:.Z' "/proc/$pid/status"; then
	exit 0
fi 2>/dev/null
echo "it ended at once:" >&2
tail -c 1000 "$pidfile.log" >&2
exit 1
