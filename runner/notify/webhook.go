package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

// postTimeout bounds one attempt.
const postTimeout = 10 * time.Second

// The headers of a webhook. The signature is "sha256=" and the HMAC-SHA-256, in hexadecimal, of the timestamp (Unix seconds, as it
// stands in its header), a point and the body. Whoever checks it refuses old timestamps, too.
const (
	headerSignature = "X-Deskstorm-Signature"
	headerTimestamp = "X-Deskstorm-Timestamp"
)

func (w *Webhook) deliver(ctx context.Context, m message, now time.Time) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing the message: %w", err)
	}
	header := http.Header{headerTimestamp: {strconv.FormatInt(now.Unix(), 10)}}
	if w.Secret.Given() {
		secret, err := w.Secret.Read()
		if err != nil {
			return err
		}
		header.Set(headerSignature, sign(secret, header.Get(headerTimestamp), body))
	}
	return post(ctx, w.URL, header, body)
}

func sign(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// The parts of Slack's message that are used (https://docs.slack.dev/reference/block-kit/blocks). What does not know blocks shows the
// text, which has everything.
type slackMessage struct {
	Text   string       `json:"text"`
	Blocks []slackBlock `json:"blocks"`
}

type slackBlock struct {
	Type string     `json:"type"`
	Text *slackText `json:"text"`
}

type slackText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// Slack's limits of a header's and a section's characters.
const (
	slackHeader  = 150
	slackSection = 3000
)

func (s *Slack) deliver(ctx context.Context, m message) error {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace // what Slack takes for mentions and links
	section := escape(strings.Join(m.lines(), "\n"))
	body, err := json.Marshal(slackMessage{
		Text: escape(m.subject()) + "\n" + section,
		Blocks: []slackBlock{
			{"header", &slackText{"plain_text", cut(m.subject(), slackHeader)}},
			{"section", &slackText{"mrkdwn", cut(section, slackSection)}},
		},
	})
	if err != nil {
		return fmt.Errorf("writing the message: %w", err)
	}
	return post(ctx, s.URL, http.Header{}, body)
}

func cut(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}

// post posts JSON once. The URL is a secret: whoever has it may post, and it is in no error.
func post(ctx context.Context, secret configfile.Secret, header http.Header, body []byte) error {
	address, err := secret.Read()
	if err != nil {
		return err
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("the URL (%s) is no http or https URL", secret)
	}
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the URL (%s) cannot be posted to", secret)
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "deskstorm")
	client := http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSHandshakeTimeout: postTimeout},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a message goes where it is sent
	}
	resp, err := client.Do(req)
	if err != nil {
		return temporary{error: fmt.Errorf("posting to the URL (%s): %w", secret, withoutURL(err))}
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, 64<<10); err != nil && !errors.Is(err, io.EOF) {
		return temporary{error: fmt.Errorf("reading the answer of the URL (%s): %w", secret, withoutURL(err))}
	}
	err = fmt.Errorf("the URL (%s) answered %d %s", secret, resp.StatusCode, http.StatusText(resp.StatusCode))
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return temporary{err, time.Duration(min(max(seconds, 0), 3600)) * time.Second}
	}
	return err
}

// withoutURL takes the URL out of what net/http says.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
