package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func put(t *testing.T, content string, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
}

func TestState(t *testing.T) {
	c := Default()
	c.Proc, c.Sys, c.Version = t.TempDir(), t.TempDir(), "1.0"
	s := look(c)
	require.Zero(t, s.Boot)
	require.Nil(t, s.Temperature)

	put(t, "cpu 1 2 3\nintr 5\nbtime 1790000000\nprocesses 7\n", c.Proc, "stat")
	put(t, "41500\n", c.Sys, "class/thermal/thermal_zone0/temp")
	put(t, "63250\n", c.Sys, "class/thermal/thermal_zone1/temp")
	put(t, "-273200\n", c.Sys, "class/thermal/thermal_zone2/temp") // a sensor that is off
	put(t, "none\n", c.Sys, "class/thermal/thermal_zone3/temp")
	s = look(c)
	require.Equal(t, time.Unix(1790000000, 0).UTC(), s.Boot)
	require.Equal(t, 63.25, *s.Temperature)
	require.Greater(t, *s.DiskFree, 0.0)
	require.LessOrEqual(t, *s.DiskFree, 1.0)
	c.Disk = "/there/is/no/such/folder"
	require.Nil(t, look(c).DiskFree)

	put(t, "remote-viewer-l\n", c.Proc, "12", "comm")
	require.True(t, processRuns(c.Proc, "remote-viewer-long"))
	require.False(t, processRuns(c.Proc, "remote"))

	here := Default()
	require.WithinRange(t, look(here).Boot, time.Unix(1, 0), time.Now())
}

func TestDisplayLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "viewer.log")
	d := &display{path: path, errors: Default().DisplayErrors}
	add := func(text string) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		require.NoError(t, err)
		_, err = f.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	require.Zero(t, (&display{}).count())
	add("ERROR: of yesterday\n")
	require.Zero(t, d.count())
	add("connected\nspice-ERROR: channel closed\nGLib-CRITICAL: x\nno terrors here\nerr")
	require.Equal(t, uint64(2), d.count())
	require.Zero(t, d.count())
	add("or: split\n")
	require.Equal(t, uint64(1), d.count())

	require.NoError(t, os.Rename(path, path+".1"))
	require.Zero(t, d.count())
	add("error 1\nerror 2\n")
	require.Equal(t, uint64(2), d.count())
	require.NoError(t, os.Truncate(path, 0))
	require.Zero(t, d.count())
	add("error 3\n")
	require.Equal(t, uint64(1), d.count())

	add(strings.Repeat("error without end ", 1<<17) + "\nerror at last\n")
	total := uint64(0)
	for range 5 {
		total += d.count()
	}
	require.Contains(t, []uint64{2, 3, 4}, total) // the long line is in pieces
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	require.Zero(t, d.count())

	late := &display{path: filepath.Join(t.TempDir(), "late.log"), errors: d.errors}
	require.Zero(t, late.count())
	path = late.path
	add("error of a client that came later\n")
	require.Equal(t, uint64(1), late.count())
}
