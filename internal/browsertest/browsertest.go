// Package browsertest is a Chromium for tests of pages.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// longest is how long a test may use its browser.
const longest = 2 * time.Minute

// Open starts a browser that tells nobody of it, and returns what the page complains of: exceptions, all that is written to the
// console, and errors such as what the page's policy forbids. The test's end closes it.
func Open(t *testing.T) (ctx context.Context, complaints func() []string) {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 1000))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), longest) // the test's would end before the browser is told to
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
		case *log.EventEntryAdded:
			// An answer with an error's status is the page's business.
			if e.Entry.Level == log.LevelError && e.Entry.Source != log.SourceNetwork {
				said <- e.Entry.Text
			}
		}
	})
	require.NoError(t, chromedp.Run(ctx, log.Enable()))
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

// Folder is the environment's variable that names a folder for what people want to look at. Unset: there is none.
const Folder = "DESKSTORM_TEST_SCREENSHOTS"

// Picture leaves a picture of the whole page in the Folder, as it is with a window of so many pixels and in a colour scheme ("light",
// "dark").
func Picture(ctx context.Context, t *testing.T, name string, width int64, scheme string) {
	t.Helper()
	dir := os.Getenv(Folder)
	if dir == "" {
		return
	}
	var png []byte
	require.NoError(t, chromedp.Run(ctx, chromedp.EmulateViewport(width, 1000),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
		chromedp.FullScreenshot(&png, 100)))
	require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), png, 0o600))
}
