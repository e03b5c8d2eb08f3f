package openstack

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/deskstorm/deskstorm/cloud/notification"
	"github.com/deskstorm/deskstorm/internal/access"
	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/lab/rabbitmq/rabbitmqtest"
	"github.com/deskstorm/deskstorm/lab/sim"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Lines in the forms that oslo.log has by default.
const (
	nova     = "2026-11-21 17:19:32.544 4711 ERROR nova.compute.manager [req-0f7b1c5e-51a2-4f7e-9a3e-2c52b9dcd7a1 a1 b2 - default default] [instance: 9c] Instance failed to spawn: boom"
	trace    = "2026-11-21 17:19:32.544 4711 ERROR nova.compute.manager [instance: 9c] Traceback (most recent call last):"
	trace2   = "2026-11-21 17:19:32.544 4711 ERROR oslo.messaging._drivers.impl_rabbit   File \"/usr/lib/python3/x.py\", line 1, in f"
	critical = "2026-11-21 17:19:33.001 4711 CRITICAL neutron [-] Unhandled error: OSError"
	info     = "2026-11-21 17:19:33.002 4711 INFO nova.api [-] ERROR nova.x [req-1] is only said"
)

func TestLevel(t *testing.T) {
	for line, want := range map[string]string{
		nova: "ERROR", critical: "CRITICAL", trace: "", trace2: "", info: "", "": "", "ERROR": "", "ERROR x": "", "  ": "",
		"2026-11-21 17:19:32.544 4711 ERROR oslo_db.sqlalchemy.exc_filters [SQL: SELECT 1]":          "",
		"2026-11-21 17:19:32.544 4711 ERROR nova.api [None req-1 admin admin - - default default] x": "ERROR",
		"2026-11-21 17:19:32.544 4711 ERROR nova.api [":                                              "",
		"2026-11-21 17:19:32.544 4711 WARNING nova [-] x":                                            "",
		"Nov 21 17:19:32 ctl1 nova-compute[4711]: " + nova:                                           "ERROR",
		"[Sat Nov 21 17:19:32.544010 2026] [wsgi:error] [pid 12:tid 1404] [remote 192.0.2.1:5000] 2026-11-21 17:19:32.544 12 ERROR keystone.server [req-1 - - - - -] x": "ERROR",
		`{"message": "boom", "asctime": "2026-11-21 17:19:32", "name": "nova", "levelname": "ERROR", "traceback": "..."}`:                                               "ERROR",
		`{"levelname": "INFO", "message": "ERROR nova [req-1]"}`:                                                                                                        "",
		`{"levelname": "ERROR"`: "",
		"one two three four five six seven eight nine ten 11 12 13 14 15 16 17 ERROR nova [-] x": "",
	} {
		require.Equal(t, want, level([]byte(line)), line)
	}
}

func FuzzLevel(f *testing.F) {
	for _, line := range []string{nova, trace, critical, `{"levelname": "ERROR"}`} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		require.Contains(t, append(levels, ""), level(line))
	})
}

// readLogs asks once, and returns the counts of errors, of critical ones, and the number of files.
func readLogs(t *testing.T, l *logs) ([3]float64, error) {
	t.Helper()
	v := values{}
	err := l.update(t.Context(), func(m prometheus.Metric) { v.add(t, m) })
	return [3]float64{v[logEvents.Name+" nova,ERROR"], v[logEvents.Name+" nova,CRITICAL"], v[logFiles.Name+" nova"]}, err
}

func TestLogs(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "nova-compute.log")
	write := func(name string, lines ...string) {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		require.NoError(t, err)
		for _, line := range lines {
			_, err = f.WriteString(line)
			require.NoError(t, err)
		}
		require.NoError(t, f.Close())
	}
	says := func(l *logs, errors, critical, files float64) {
		t.Helper()
		got, err := readLogs(t, l)
		require.NoError(t, err)
		require.Equal(t, [3]float64{errors, critical, files}, got)
	}
	l := newLogs(Logs{"nova", []string{filepath.Join(dir, "*.log")}})
	_, err := readLogs(t, l)
	require.ErrorContains(t, err, "there are no log files")

	l = newLogs(l.Logs)
	write("nova-compute.log", nova+"\n", nova[:80])
	says(l, 0, 0, 1) // what was there before is not counted, nor the line in which it begins
	write("nova-compute.log", nova[80:]+"\n")
	says(l, 0, 0, 1)
	write("nova-compute.log", nova+"\n", trace+"\n", trace2+"\n", info+"\n", critical[:20])
	says(l, 1, 0, 1) // the tracebacks and half a line are not
	write("nova-compute.log", critical[20:]+"\n")
	says(l, 1, 1, 1)

	write("nova-compute.log", nova+"\n") // before the rotation, and read after it
	require.NoError(t, os.Rename(path, path+".1"))
	write("nova-compute.log", nova+"\n")
	write("nova-compute.log.1", nova+"\n") // its writer has not noticed
	says(l, 4, 1, 1)
	write("nova-compute.log", nova+"\n")
	says(l, 5, 1, 1)

	require.NoError(t, os.Truncate(path, 0))
	write("nova-compute.log", critical+"\n")
	says(l, 5, 2, 1)
	write("nova-api.log", nova+"\n") // a new file, from its beginning
	says(l, 6, 2, 2)
	require.NoError(t, os.Remove(path))
	says(l, 6, 2, 1)
	says(l, 6, 2, 1)
	require.NoError(t, os.Remove(filepath.Join(dir, "nova-api.log")))
	says(l, 6, 2, 0)
	write("nova-api.log", strings.Repeat("x", 3*maxLine)+" ERROR\n", nova+"\n") // a line without an end in sight
	says(l, 7, 2, 1)
}

func TestLogsFlood(t *testing.T) {
	dir := t.TempDir()
	flood := filepath.Join(dir, "flood.log")
	require.NoError(t, os.WriteFile(flood, nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "calm.log"), nil, 0o600))
	l := newLogs(Logs{"nova", []string{filepath.Join(dir, "*.log")}})
	_, err := readLogs(t, l)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "calm.log"), []byte(critical+"\n"), 0o600))
	lines := bytes.Repeat([]byte(nova+"\n"), 1+maxRead/len(nova))
	require.NoError(t, os.WriteFile(flood, lines, 0o600))
	got, err := readLogs(t, l)
	require.NoError(t, err)
	require.Equal(t, 1.0, got[1], "the calm one is read all the same")
	require.Less(t, got[0], float64(maxRead/len(nova)), "the flood is not read at once")
	for range 3 {
		got, err = readLogs(t, l)
		require.NoError(t, err)
	}
	require.Equal(t, float64(bytes.Count(lines, []byte("\n"))), got[0], "but in time")

	f, err := os.OpenFile(flood, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	for range 2 + maxBacklog/len(lines) {
		_, err = f.Write(lines)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	for range 10 {
		_, err = readLogs(t, l)
		require.NoError(t, err)
	}
	require.Greater(t, l.skipped, float64(maxBacklog/2))
	before := l.counts["ERROR"]
	require.NoError(t, appendTo(flood, nova+"\n"))
	_, err = readLogs(t, l)
	require.NoError(t, err)
	require.Equal(t, before+1, l.counts["ERROR"], "it is at the end")
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// What is no file is an error, blocks nothing, and the files beside it are read.
func TestLogsOddFiles(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "a.log"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "b.log"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "c.log"), nil, 0o600))
	l := newLogs(Logs{"nova", []string{filepath.Join(dir, "*.log")}})
	for range 2 {
		_, err := readLogs(t, l)
		require.ErrorContains(t, err, "a.log is no file")
		require.ErrorContains(t, err, "b.log is no file")
	}
	require.NoError(t, appendTo(filepath.Join(dir, "c.log"), nova+"\n"))
	got, err := readLogs(t, l)
	require.Error(t, err)
	require.Equal(t, 1.0, got[0])
}

func TestNotified(t *testing.T) {
	n := newNotified()
	for publisher, priority := range map[string]string{
		"compute.node7": "ERROR", "nova-compute:node8": "error", "odd.host": "CRITICAL", "network.ctl": "INFO", "": "ERROR",
	} {
		n.handle(notification.Notification{Publisher: publisher, Priority: priority})
	}
	n.bad(nil)
	v := values{}
	metrics := make(chan prometheus.Metric, 100)
	n.notifications.Collect(metrics)
	n.malformed.Collect(metrics)
	close(metrics)
	for m := range metrics {
		v.add(t, m)
	}
	require.Equal(t, values{"nova-compute,error": 2, "other,critical": 1, "other,error": 1}, v.positive(notifications))
	require.Equal(t, 1.0, v[malformed.Name+" "])
}

// Notifications over a real RabbitMQ, and messages that are none.
func TestNotifications(t *testing.T) {
	broker := rabbitmqtest.StartT(t)
	t.Setenv("DESKSTORM_TEST_AMQP", broker.URL)
	connection, err := amqp.Dial(broker.URL)
	require.NoError(t, err)
	defer connection.Close()
	channel, err := connection.Channel()
	require.NoError(t, err)
	require.NoError(t, channel.ExchangeDeclare("nova", amqp.ExchangeTopic, false, false, false, false, nil)) // Neutron has none yet
	_, e := startLab(t, sim.Config{}, Config{Notifications: &access.Notifications{URL: configfile.Secret{Env: "DESKSTORM_TEST_AMQP"}, Exchanges: []string{"nova", "neutron"}, Topic: "notifications"}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	send := func(key, body string) {
		require.NoError(t, channel.PublishWithContext(ctx, "nova", key, false, false, amqp.Publishing{Body: []byte(body)}))
	}
	body := func(priority string) string {
		return fmt.Sprintf(`{"message_id":"1","publisher_id":"compute.node7","priority":%q,"event_type":"compute.instance.create.error",`+
			`"timestamp":"2026-11-26 08:00:01.250000","payload":{}}`, priority)
	}
	require.Eventually(t, func() bool { // until the queue is bound
		send("notifications.error", body("ERROR"))
		return live(t, e)[notifications.Name+" nova-compute,error"] > 0
	}, patience, 50*time.Millisecond)
	send("notifications.info", body("INFO"))
	send("notifications.critical", "no JSON")
	send("notifications.critical", body("CRITICAL"))
	require.Eventually(t, func() bool {
		v := live(t, e)
		return v[notifications.Name+" nova-compute,critical"] == 1 && v[malformed.Name+" "] == 1
	}, patience, 50*time.Millisecond)
	require.Equal(t, 1.0, live(t, e)[listening.Name+" "])
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Equal(t, 0.0, live(t, e)[listening.Name+" "], "no errors were told is not nobody listens")
}
