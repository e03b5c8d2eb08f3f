package notify

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

const example = `page: https://runner.example.com/deskstorm
receivers:
  - name: night-shift
    slack: {url: {env: SLACK_URL}}
    when: [deviated, failed]
    of: {runs: 2, last: 3}
    cooldown: 4h
    most: {messages: 5, in: 24h}
    recovery: false
  - name: tickets
    webhook: {url: {file: hook}, secret: {file: /etc/key}}
  - name: mail
    email:
      server: mail.example.com:587
      ca_file: ca.pem
      user: deskstorm
      password: {file: /etc/mail}
      from: deskstorm <deskstorm@example.com>
      to: [operators@example.com]
`

func TestRead(t *testing.T) {
	r, root := configfile.Parse([]byte(example), "/etc/deskstorm/deskstorm.yaml", "notify")
	c := Read(r, root)
	require.NoError(t, r.Err())
	require.Equal(t, []string{"night-shift", "tickets", "mail"}, c.Names())
	require.Equal(t, "https://runner.example.com/deskstorm", c.Page)
	slack, hook, mail := c.Receivers[0], c.Receivers[1], c.Receivers[2]
	require.Equal(t, "SLACK_URL", slack.Slack.URL.Env)
	require.Equal(t, []verdict.Outcome{verdict.Deviated, verdict.Failed}, slack.When)
	require.Equal(t, Of{2, 3}, slack.Of)
	require.Equal(t, 4*time.Hour, slack.Cooldown)
	require.Equal(t, Most{5, 24 * time.Hour}, slack.Most)
	require.False(t, slack.Recover)
	require.Equal(t, "/etc/deskstorm/hook", hook.Webhook.URL.File)
	require.Equal(t, []verdict.Outcome{verdict.Deviated, verdict.Failed, verdict.NoVerdict}, hook.When)
	require.Equal(t, Of{1, 1}, hook.Of)
	require.True(t, hook.Recover)
	mail.Email.Password = configfile.Secret{}
	require.Equal(t, &Email{
		Server: "mail.example.com:587", TLS: StartTLS, CAFile: "/etc/deskstorm/ca.pem", User: "deskstorm",
		From: "deskstorm <deskstorm@example.com>", To: []string{"operators@example.com"},
	}, mail.Email)
}

func TestReadRefuses(t *testing.T) {
	const slack = "slack: {url: {env: X}}"
	for _, test := range []struct{ name, text, says string }{
		{"none", "page: https://x", "receivers is missing"},
		{"page", "page: https://u:p@x/", "an http or https URL"},
		{"no name", "receivers: [{" + slack + "}]", "name is missing"},
		{"no kind", "receivers: [{name: a}]", "exactly one of webhook, slack and email, found 0"},
		{"two kinds", "receivers: [{name: a, webhook: {url: {env: X}}, " + slack + "}]", "found 2"},
		{"URL in the clear", "receivers: [{name: a, slack: {url: 'https://hooks.example.com/SECRET'}}]", "found the value itself"},
		{"same name", "receivers: [{name: a, " + slack + "}, {name: a, " + slack + "}]", "another receiver is called"},
		{"more than last", "receivers: [{name: a, of: {runs: 3, last: 2}, " + slack + "}]", "at most last"},
		{"half an of", "receivers: [{name: a, of: {runs: 3}, " + slack + "}]", "last is missing"},
		{"outcome", "receivers: [{name: a, when: [bad], " + slack + "}]", "expected one of passed, deviated, no-verdict, failed"},
		{"server", "receivers: [{name: a, email: {server: mail, from: a@b, to: [a@b]}}]", "host:port"},
		{"address", "receivers: [{name: a, email: {server: 'mail:25', from: nobody, to: [a@b]}}]", "an e-mail address"},
		{"user without password", "receivers: [{name: a, email: {server: 'm:25', from: a@b, to: [a@b], user: x}}]", "user and password, or neither"},
		{"password in the clear", "receivers: [{name: a, email: {server: 'm:25', tls: none, from: a@b, to: [a@b], user: x, " +
			"password: {env: X}}}]", "in the clear"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, root := configfile.Parse([]byte(test.text), "deskstorm.yaml", "notify")
			Read(r, root)
			require.ErrorContains(t, r.Err(), test.says)
			require.NotContains(t, r.Err().Error(), "SECRET")
			var at *configfile.Error
			require.True(t, errors.As(r.Err(), &at))
		})
	}
}
