package control_test

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/sim"
)

// screenshotEnv is a folder in which TestPage leaves pictures of the page, for people to look at.
const screenshotEnv = "CONTROL_TEST_SCREENSHOTS"

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
	ctx, complaints := browse(t)
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
	picture(ctx, t, "healthy.png", "light")

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
	picture(ctx, t, "broken.png", "light")
	picture(ctx, t, "broken-dark.png", "dark")
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
	ctx, complaints := browse(t)
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

// browse starts a browser that tells nobody of it, and returns what the page's script complains of.
func browse(t *testing.T) (ctx context.Context, complaints func() []string) {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 1000))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute) // which would end before the browser is told to
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() { require.NoError(t, chromedp.Cancel(ctx)) }) // waits for its end: its folder is removed next
	said := make(chan string, 100)
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			said <- e.ExceptionDetails.Error()
		case *runtime.EventConsoleAPICalled:
			said <- e.Type.String()
		}
	})
	return ctx, func() (all []string) {
		for {
			select {
			case s := <-said:
				all = append(all, s)
			default:
				return all
			}
		}
	}
}

func picture(ctx context.Context, t *testing.T, name, scheme string) {
	t.Helper()
	dir := os.Getenv(screenshotEnv)
	if dir == "" {
		return
	}
	var png []byte
	require.NoError(t, chromedp.Run(ctx,
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
		chromedp.FullScreenshot(&png, 100)))
	require.NoError(t, os.WriteFile(dir+"/"+name, png, 0o600))
}
