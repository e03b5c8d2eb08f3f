package report_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/browsertest"

	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/runner/report"
)

// TestPageNeedsNothing: the page loads nothing from elsewhere, and tells the browser to let it.
func TestPageNeedsNothing(t *testing.T) {
	for name, r := range map[string]report.Report{"sample": sample(t), "hostile": hostile(), "empty": {}} {
		var b bytes.Buffer
		require.NoError(t, r.HTML(&b), name)
		require.Contains(t, b.String(), "default-src &#39;none&#39;")
		require.NotRegexp(t, `<\w[^<>]*\s(src|srcset|action)=|<\w[^<>]*\shref="[^"d]|@import|url\(`, b.String())
		require.NotContains(t, b.String(), "ZgotmplZ", "the template refused a value")
		require.Less(t, b.Len(), 1<<20)
	}
	require.ErrorIs(t, sample(t).HTML(full{}), os.ErrClosed)
}

// TestPage: in a real browser every chart has lines, at a desk's and a telephone's width, and nothing is complained of.
func TestPage(t *testing.T) {
	qemutest.RequireProgram(t, "chromium", "chromium")
	ctx, complaints := browsertest.Open(t)
	open(ctx, t, sample(t))
	for _, width := range []int64{1280, 400} {
		require.NoError(t, chromedp.Run(ctx, chromedp.EmulateViewport(width, 1000)))
		var charts []struct {
			Title    string
			Coloured int
			Width    float64
			Room     float64
		}
		require.Eventually(t, func() bool {
			require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(`[...document.querySelectorAll("figure")].map(f => {
				const c = f.querySelector("canvas"), p = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
				let coloured = 0;
				for (let i = 0; i < p.length; i += 4) {
					if (p[i+3] > 200 && Math.max(p[i], p[i+1], p[i+2]) - Math.min(p[i], p[i+1], p[i+2]) > 60) coloured++;
				}
				return {Title: f.querySelector("h3").textContent, Coloured: coloured, Width: c.getBoundingClientRect().width, Room: f.clientWidth};
			})`, &charts)))
			for _, c := range charts {
				if c.Width > c.Room+1 || c.Width < c.Room-1 {
					return false // it has not been fitted yet
				}
			}
			return len(charts) > 0
		}, 10*time.Second, 20*time.Millisecond)
		require.GreaterOrEqual(t, len(charts), 9)
		for _, c := range charts {
			require.Greater(t, c.Coloured, 100, "%s at %d", c.Title, width)
		}
		var overflow float64
		require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(
			`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &overflow)))
		require.Zero(t, overflow, "the page is wider than %d", width)
		for _, scheme := range []string{"light", "dark"} {
			browsertest.Picture(ctx, t, "report", int64(width), scheme)
		}
	}
	require.NoError(t, chromedp.Run(ctx, chromedp.EmulateViewport(1280, 1000)))
	printed(ctx, t, "report.pdf")
	require.Empty(t, complaints())
}

// printed prints the page, for people to look at.
func printed(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv(browsertest.Folder)
	if dir == "" {
		return
	}
	require.NoError(t, chromedp.Run(ctx, chromedp.ActionFunc(func(ctx context.Context) error {
		pdf, _, err := page.PrintToPDF().WithPaperWidth(8.27).WithPaperHeight(11.69).WithPrintBackground(false).Do(ctx)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), pdf, 0o600)
	})))
}

// TestPageOfHostileTexts: what others wrote is text.
func TestPageOfHostileTexts(t *testing.T) {
	qemutest.RequireProgram(t, "chromium", "chromium")
	ctx, complaints := browsertest.Open(t)
	open(ctx, t, hostile())
	var images, scripts int
	require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(`document.images.length`, &images),
		chromedp.Evaluate(`document.scripts.length`, &scripts)))
	require.Zero(t, images)
	require.Equal(t, 2, scripts)
	browsertest.Picture(ctx, t, "hostile", 1280, "light")
	require.Empty(t, complaints())
}

func open(ctx context.Context, t *testing.T, r report.Report) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, r.HTML(&b))
	path := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	require.NoError(t, chromedp.Run(ctx, chromedp.Navigate("file://"+path)))
}
