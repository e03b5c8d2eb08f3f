package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/api"
	"github.com/deskstorm/deskstorm/broker/client"
)

// drive returns the driver of package client, a service for it, and a context.
func drive(t *testing.T, cfg api.Config) (context.Context, *client.Broker, *service) {
	t.Helper()
	s := newService(t, cfg)
	server := httptest.NewServer(s.handler)
	t.Cleanup(server.Close)
	driver := client.NewBroker(client.BrokerConfig{URL: server.URL, Timeout: 30 * time.Second})
	t.Cleanup(func() { require.NoError(t, driver.Close()) })
	return context.Background(), driver, s
}

var whole = client.Login{User: personalUser, Password: secretPassword, Seat: "N2-117", ThinClient: "52:54:00:12:34:56", Site: "north",
	Tags: map[string]string{"shift": "night"}}

func TestTheDriver(t *testing.T) {
	ctx, driver, s := drive(t, api.Config{})
	got, err := driver.Login(ctx, whole)
	require.NoError(t, err)
	require.Equal(t, []any{whole}, s.broker.got)
	require.Positive(t, got.Elapsed)
	got.Elapsed = 0
	require.Equal(t, &session, got)

	console, err := driver.Console(ctx, got)
	require.NoError(t, err)
	require.Equal(t, client.Console{Host: "node17", Port: 5900}, console)
	require.NoError(t, driver.Renew(ctx, got))
	require.Equal(t, []any{"renew", secretSession}, s.broker.got)
	require.NoError(t, driver.ReportBroken(ctx, got, "no picture"))
	require.Equal(t, []any{"report", secretSession, "no picture"}, s.broker.got)
	require.NoError(t, driver.Logout(ctx, got))
	require.Equal(t, []any{"logout", secretSession}, s.broker.got)

	_, err = driver.Login(ctx, client.Login{User: "u", Password: "p"})
	require.NoError(t, err)
	require.Equal(t, []any{client.Login{User: "u", Password: "p"}}, s.broker.got)
}

// TestTheDriverKnowsEveryClass that a thin client can meet.
func TestTheDriverKnowsEveryClass(t *testing.T) {
	ctx, driver, s := drive(t, api.Config{})
	for class, status := range api.Statuses() {
		s.broker.err = &client.Error{Class: class, Step: client.StepBoot, Message: "for people", Err: errors.New("inside"),
			Steps: []client.Timing{{Step: client.StepAuth, Took: 1500 * time.Microsecond}}}
		var errs []error
		if status != 404 {
			_, err := driver.Login(ctx, whole)
			errs = append(errs, err)
		}
		_, err := driver.Console(ctx, &session)
		errs = append(errs, err, driver.Renew(ctx, &session), driver.ReportBroken(ctx, &session, "r"))
		if class == client.SessionNotFound {
			require.NoError(t, driver.Logout(ctx, &session))
		} else {
			errs = append(errs, driver.Logout(ctx, &session))
		}
		for _, err := range errs {
			e, ok := errors.AsType[*client.Error](err)
			require.True(t, ok, "%v", err)
			require.NotEmpty(t, e.RequestID)
			require.Contains(t, s.log.String(), e.RequestID)
			if class == api.NotFound || class == api.OperatorOnly {
				require.Equal(t, client.BrokerFailed, e.Class)
				require.Contains(t, e.Message, fmt.Sprintf("status %d: for people", status))
				continue
			}
			require.Equal(t, &client.Error{Class: class, Step: client.StepBoot, Message: "for people", RequestID: e.RequestID,
				Steps: []client.Timing{{Step: client.StepAuth, Took: 1500 * time.Microsecond}}}, e)
		}
	}
}

func TestTheDriverIsRefused(t *testing.T) {
	ctx, driver, s := drive(t, api.Config{})
	for _, test := range []struct {
		login  client.Login
		detail string
	}{
		{client.Login{User: "u"}, "password: is empty"},
		{client.Login{User: "u\x00", Password: "p"}, "user: has a control character"},
		{client.Login{User: "u", Password: "p", Seat: strings.Repeat("x", 129)}, "seat: has 129 characters"},
		{client.Login{User: "u", Password: "p", Tags: map[string]string{"a": strings.Repeat("x", 65<<10)}}, "more than 65536 bytes"},
	} {
		_, err := driver.Login(ctx, test.login)
		e, ok := errors.AsType[*client.Error](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, client.BadRequest, e.Class)
		require.Contains(t, e.Message, test.detail)
	}
	require.Nil(t, s.broker.got)
}
