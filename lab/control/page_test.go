package control_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/browsertest"

	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/sim"
)

// TestPageNeedsNothing: the page loads nothing from elsewhere, and the browser is told to let it.
func TestPageNeedsNothing(t *testing.T) {
	l := start(t, sim.Config{})
	a := l.do(t, "GET", "/", "")
	require.Equal(t, 200, a.status)
	require.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'")
	require.NotRegexp(t, regexp.MustCompile(`https?://|\bsrc=|@import|url\(`), string(a.body))
}

// TestPage: in a real browser the page shows the cloud as it is, follows it, and its buttons inject and undo.
func TestPage(t *testing.T) {
	qemutest.RequireProgram(t, "chromium", "chromium")
	l := start(t, sim.Config{Servers: seeds(24), Hosts: make([]sim.Host, 8)})
	ctx, complaints := browsertest.Open(t)
	require.NoError(t, chromedp.Run(ctx, chromedp.Navigate(l.url)))
	text := func(selector string) (is string) {
		require.NoError(t, chromedp.Run(ctx, chromedp.TextContent(selector, &is, chromedp.ByQuery)))
		return is
	}
	await := func(selector, says string) {
		require.Eventually(t, func() bool { return regexp.MustCompile(says).MatchString(text(selector)) }, patience, 50*time.Millisecond,
			"%s says %s", says, selector)
	}
	click := func(label string) {
		require.NoError(t, chromedp.Run(ctx, chromedp.Click(`//button[text()="`+label+`"]`, chromedp.BySearch)))
	}
	await("#tiles", `24desktops, 24 active.*8 / 8hosts up.*24leases`)
	await("#hosts", `compute01.*3 desktops.*compute08`)
	await("#sites", `N112.*12`)
	await("#faults", "None")
	browsertest.Picture(ctx, t, "healthy", 1280, "light")

	require.NoError(t, chromedp.Run(ctx, chromedp.SetValue("#host", "compute03", chromedp.ByQuery),
		chromedp.SetValue("#duration", "none", chromedp.ByQuery)))
	click("Host down")
	await("#faults", "host.down host compute03hits 4 · until undone")
	await("#tiles", "7 / 8hosts up")
	require.Equal(t, "host.down", l.state(t).Faults[0].Type)
	click("Host down")
	await("#said", "holds the host compute03: undo it first")
	click("Undo")
	await("#tiles", "8 / 8hosts up")
	await("#faults", "None")
	require.Empty(t, l.state(t).Faults)

	// What others do is seen too.
	l.inject(t, `{"type": "desktop.no_lease", "fraction": 0.25, "duration": "10m"}`)
	await("#tiles", "18leases, 6 missing")
	await("#faults", `desktop.no_lease fraction 0.25hits 6 · \d+ s left`)
	l.inject(t, `{"type": "service.down", "service": "nova", "how": "503"}`)
	l.inject(t, `{"type": "host.down", "host": "compute05"}`)
	l.do(t, "GET", "/v1/types", "")
	require.Error(t, l.open(t, l.Servers()[0].ID))
	await("#requests", "nova503")
	browsertest.Picture(ctx, t, "broken", 1280, "light")
	browsertest.Picture(ctx, t, "broken", 1280, "dark")
	require.Empty(t, complaints())
}

// TestNamesAreText: names come from whoever makes servers, and are no markup.
func TestNamesAreText(t *testing.T) {
	qemutest.RequireProgram(t, "chromium", "chromium")
	const name = `<img src=x onerror="console.log(1)">`
	l := start(t, sim.Config{
		Servers: []sim.ServerSeed{{Name: name, Metadata: map[string]string{"site": name}}}, Hosts: []sim.Host{{Name: name}},
	})
	order, err := json.Marshal(map[string]string{"type": "desktop.no_lease", "name": name})
	require.NoError(t, err)
	l.inject(t, string(order))
	ctx, complaints := browsertest.Open(t)
	require.NoError(t, chromedp.Run(ctx, chromedp.Navigate(l.url)))
	for _, selector := range []string{"#hosts", "#sites", "#faults", "#host"} {
		require.Eventually(t, func() bool {
			var is string
			require.NoError(t, chromedp.Run(ctx, chromedp.TextContent(selector, &is, chromedp.ByQuery)))
			return strings.Contains(is, name)
		}, patience, 50*time.Millisecond, selector)
	}
	var images int
	require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(`document.images.length`, &images)))
	require.Zero(t, images)
	require.Empty(t, complaints())
}
