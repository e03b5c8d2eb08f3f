package serve_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/browsertest"

	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/runner/serve"
)

// TestPageNeedsNothing: the page loads nothing from elsewhere, and the browser is told to let it.
func TestPageNeedsNothing(t *testing.T) {
	l := start(t, nil)
	a := l.do(t, "GET", "/", "")
	require.Equal(t, 200, a.status)
	policy := a.header.Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.NotContains(t, policy, "unsafe-inline")
	require.NotRegexp(t, regexp.MustCompile(`https?://|\bsrc=|@import|url\(`), a.body)
}

// TestPage: in a real browser a person starts a run, sees it, cancels it, pauses and resumes, and does all that without a
// mouse too.
func TestPage(t *testing.T) {
	qemutest.RequireProgram(t, "chromium", "chromium")
	l := start(t, func(o *serve.Options, l *lab) {
		o.Jobs = append(o.Jobs, jobs(t, "closed:\n  experiment: amqp-idle\n  cron: '0 2 * * *'\n"+
			"  blackout: ['00:00-02:00', '02:01-24:00']\n")...)
		ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
		l.history = []serve.Entry{
			{ID: "5", Job: "smoke", Trigger: "schedule", Began: ago(2 * time.Hour), Ended: ago(118 * time.Minute),
				Outcome: serve.Passed, Reason: "all objectives are met", Reported: true},
			{ID: "4", Job: "boot-storm", Trigger: "schedule", Began: ago(7 * time.Hour), Ended: ago(6 * time.Hour),
				Outcome: serve.Deviated,
				Reason:  "p95 of the first picture at site north is 31.0 s, above 20 s", Reported: true},
			{ID: "3", Job: "dhcp-renewal", Trigger: "catch-up", Began: ago(9 * time.Hour), Ended: ago(8 * time.Hour),
				Outcome: serve.NoVerdict,
				Reason:  "the generator's processors were busy to 93 %", Reported: true},
			{ID: "2", Job: "boot-storm", Trigger: "schedule", Began: ago(31 * time.Hour), Ended: ago(30 * time.Hour),
				Outcome: serve.Failed, Reason: "the cloud did not answer"},
		}
	})
	ctx, complaints := browsertest.Open(t)
	require.NoError(t, chromedp.Run(ctx, chromedp.Navigate(l.url)))
	text := func(selector string) (is string) {
		require.NoError(t, chromedp.Run(ctx, chromedp.TextContent(selector, &is, chromedp.ByQuery)))
		return is
	}
	await := func(selector, says string) {
		require.Eventually(t, func() bool { return regexp.MustCompile(says).MatchString(text(selector)) }, patience,
			50*time.Millisecond,
			"%s says %s", selector, says)
	}
	click := func(label string) {
		require.NoError(t, chromedp.Run(ctx, chromedp.Click(`button[aria-label="`+label+`"]`, chromedp.ByQuery)), label)
	}
	await("#glance", "^starts the runs$")
	await("#jobs", `boot-storm 15 2 \* \* 1-5 · Europe/Berlinin .*deviated`)
	await("#runs", "p95 of the first picture at site north")
	browsertest.Picture(ctx, t, "idle", 1280, "light")

	click("Run now: dhcp-renewal")
	await("#running", `dhcp-renewal by handmethod · start 200 desktopsfor .*since .*5 % of packets`)
	await("#running", `broker login, north1,2343181 ms700 ms1.90 s`)
	await("#tiles", "1running")
	var disabled bool
	run := chromedp.Evaluate(`document.querySelector('button[aria-label="Run now: dhcp-renewal"]').disabled`, &disabled)
	require.NoError(t, chromedp.Run(ctx, run))
	require.True(t, disabled, "it runs already")
	require.NoError(t, chromedp.Run(ctx, chromedp.Click(`li[data-key="boot-storm"] summary`, chromedp.ByQuery)))
	await(`li[data-key="boot-storm"]`, "CES?T.*Jitterup to 20 min")
	browsertest.Picture(ctx, t, "running", 1280, "light")
	browsertest.Picture(ctx, t, "running", 1280, "dark")
	browsertest.Picture(ctx, t, "running", 400, "light")
	browsertest.Picture(ctx, t, "running", 400, "dark")
	var wide bool
	require.NoError(t, chromedp.Run(ctx, chromedp.EmulateViewport(400, 900),
		chromedp.Evaluate(`document.documentElement.scrollWidth > 400`, &wide)))
	require.False(t, wide, "on a small screen nothing is beside it")
	require.NoError(t, chromedp.Run(ctx, chromedp.EmulateViewport(1280, 1000)))

	click("Cancel: dhcp-renewal")
	time.Sleep(100 * time.Millisecond) // one click does nothing
	require.Len(t, l.state(t).Running, 1)
	await("#running", "Really cancel")
	click("Really cancel: dhcp-renewal")
	await("#running", "^$")
	await("#runs", "^interrupteddhcp-renewalcancelled by a person.*by hand")
	require.NoError(t, chromedp.Run(ctx, run))
	require.False(t, disabled)

	// Without a mouse: focus stays on the button while the page follows.
	require.NoError(t, chromedp.Run(ctx, chromedp.Focus(`button[aria-label="Pause: smoke"]`, chromedp.ByQuery),
		chromedp.KeyEvent(kb.Enter)))
	await(`li[data-key="smoke"]`, "smoke paused.*Not before it is resumed")
	require.NotNil(t, l.state(t).Jobs[2].Paused)
	await("#tiles", "1 paused")
	browsertest.Picture(ctx, t, "paused", 1280, "light")
	require.NoError(t, chromedp.Run(ctx, chromedp.KeyEvent(" ")))
	await(`li[data-key="smoke"]`, "smoke 0 0 1 1")
	require.Nil(t, l.state(t).Jobs[2].Paused)

	// What is refused can be insisted on, where that is sensible.
	click("Run now: closed")
	await(`li[data-key="closed"] .ask`, "Nothing is started now: in the blackout .*Run anyway")
	browsertest.Picture(ctx, t, "closed", 400, "light")
	require.NoError(t, chromedp.Run(ctx, chromedp.EmulateViewport(1280, 1000),
		chromedp.KeyEvent(kb.Enter))) // the button has the focus
	await("#running", "closed")
	l.end <- serve.Result{Outcome: serve.Passed}
	await("#runs", "^passedclosed")
	require.Empty(t, complaints())

	require.NoError(t, l.stop())
	require.Eventually(t, func() bool {
		var shown bool
		require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(`!document.getElementById("lost").hidden`, &shown)))
		return shown
	}, patience, 50*time.Millisecond, "the page says that the runner is gone")
}

// TestPageInTrouble: what is wrong, what waits and what was not run is shown.
func TestPageInTrouble(t *testing.T) {
	qemutest.RequireProgram(t, "chromium", "chromium")
	l := start(t, func(o *serve.Options, l *lab) {
		o.Jobs = jobs(t, sample+"host-reboot:\n  experiment: host-reboot\n  cron: '0 4 * * 6'\n  group: compute\n  deadline: 2h\n")
		l.broken = errors.New("database disk image is malformed")
	})
	ctx, complaints := browsertest.Open(t)
	require.NoError(t, chromedp.Run(ctx, chromedp.Navigate(l.url)))
	await := func(selector, says string) {
		require.Eventually(t, func() bool {
			var is string
			require.NoError(t, chromedp.Run(ctx, chromedp.TextContent(selector, &is, chromedp.ByQuery)))
			return regexp.MustCompile(says).MatchString(is)
		}, patience, 50*time.Millisecond, "%s says %s", selector, says)
	}
	await("#trouble", "the history: database disk image is malformed")
	for _, job := range []string{"boot-storm", "host-reboot"} {
		require.Equal(t, 202, l.do(t, "POST", "/v1/jobs/"+job+"/run", `{"force": true}`).status)
	}
	await("#waiting", `host-reboot waitsfor another run's end, since .*, until .* at the latest`)
	await("#tiles", "running, 1 waiting")
	browsertest.Picture(ctx, t, "trouble", 1280, "light")
	browsertest.Picture(ctx, t, "trouble", 400, "dark")
	require.NoError(t, chromedp.Run(ctx, chromedp.EmulateViewport(1280, 1000),
		chromedp.Click(`button[aria-label="Do not run: host-reboot"]`, chromedp.ByQuery)))
	await("#waiting", "^$")
	await("#skipped", "host-reboot .*it was cancelled while it waited")
	browsertest.Picture(ctx, t, "skipped", 1280, "dark")
	l.end <- serve.Result{Outcome: serve.Passed}
	await("#runs", "passedboot-storm")
	require.Empty(t, complaints())
}

// TestReportIsAlone: a report's scripts run, but are of no origin, and cannot ask this service for anything.
func TestReportIsAlone(t *testing.T) {
	qemutest.RequireProgram(t, "chromium", "chromium")
	l := start(t, func(_ *serve.Options, l *lab) {
		l.history = []serve.Entry{{ID: "1", Job: "smoke", Outcome: serve.Passed, Reported: true}}
	})
	ctx, _ := browsertest.Open(t)
	var title string
	require.NoError(t, chromedp.Run(ctx, chromedp.Navigate(l.url+"/runs/1/report"), chromedp.Title(&title)))
	require.Equal(t, "null", title)
}

// TestOtherOrigin: a page of another origin, open in the same browser, cannot pause a job.
func TestOtherOrigin(t *testing.T) {
	qemutest.RequireProgram(t, "chromium", "chromium")
	l := start(t, nil)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<!doctype html><title>evil</title>")
	}))
	t.Cleanup(evil.Close)
	ctx, _ := browsertest.Open(t)
	var done bool
	require.NoError(t, chromedp.Run(ctx, chromedp.Navigate(evil.URL), chromedp.Evaluate(
		`fetch("`+l.url+`/v1/jobs/smoke/pause", {method: "POST", mode: "no-cors"}).then(() => true)`, &done,
		func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) })))
	require.True(t, done, "it was sent")
	require.Nil(t, l.state(t).Jobs[2].Paused)
	require.NoError(t, chromedp.Run(ctx, chromedp.Navigate(l.url), chromedp.Evaluate(
		`fetch("/v1/jobs/smoke/pause", {method: "POST"}).then(() => true)`, &done,
		func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) })))
	require.NotNil(t, l.state(t).Jobs[2].Paused, "the page itself can")
}

// TestTextIsText: what runs and people say is no markup.
func TestTextIsText(t *testing.T) {
	qemutest.RequireProgram(t, "chromium", "chromium")
	const name = `<img src=x onerror="console.log(1)">`
	l := start(t, func(_ *serve.Options, l *lab) {
		l.history = []serve.Entry{{ID: name, Job: name, Title: name, Trigger: name, Outcome: name, Reason: name, Reported: true}}
	})
	ctx, complaints := browsertest.Open(t)
	require.NoError(t, chromedp.Run(ctx, chromedp.Navigate(l.url)))
	require.Eventually(t, func() bool {
		var is string
		require.NoError(t, chromedp.Run(ctx, chromedp.TextContent("#runs", &is, chromedp.ByQuery)))
		return strings.Contains(is, name)
	}, patience, 50*time.Millisecond)
	var images int
	require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(`document.images.length`, &images)))
	require.Zero(t, images)
	require.Empty(t, complaints())
}
