package directory_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/hashicorp/go-hclog"
	"github.com/jimlambrt/gldap"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/directory"
)

// answering is a directory of one user, to whose binds it gives an answer of the test's.
func answering(t *testing.T, code int, diagnostic string, controls ...gldap.Control) directory.Config {
	t.Helper()
	s, err := gldap.NewServer(gldap.WithLogger(hclog.NewNullLogger()))
	require.NoError(t, err)
	mux, err := gldap.NewMux()
	require.NoError(t, err)
	require.NoError(t, mux.Bind(func(w *gldap.ResponseWriter, r *gldap.Request) {
		response := r.NewBindResponse(gldap.WithResponseCode(code))
		response.SetDiagnosticMessage(diagnostic)
		response.SetControls(controls...)
		_ = w.Write(response)
	}))
	require.NoError(t, mux.Search(func(w *gldap.ResponseWriter, r *gldap.Request) {
		_ = w.Write(r.NewSearchResponseEntry("cn=Ann,dc=example", gldap.WithAttributes(map[string][]string{"UID": {"ann"}})))
		_ = w.Write(r.NewSearchDoneResponse(gldap.WithResponseCode(gldap.ResultSuccess)))
	}))
	require.NoError(t, s.Router(mux))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	served := make(chan error, 1)
	go func() { served <- s.Run(address) }()
	t.Cleanup(func() { require.NoError(t, errors.Join(s.Stop(), <-served)) })
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, deadline, time.Millisecond)
	return directory.Config{URLs: []string{"ldap://" + address}, UserBase: "dc=example"}
}

// TestAnswersToBinds has what different directories say of accounts.
func TestAnswersToBinds(t *testing.T) {
	activeDirectory := func(data string) string {
		return "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data " + data + ", v2580\x00"
	}
	policy := func(code uint) gldap.Control {
		c, err := gldap.NewControlBeheraPasswordPolicy(gldap.WithErrorCode(code))
		require.NoError(t, err)
		return c
	}
	var everything = []error{directory.ErrWrongPassword, directory.ErrLocked, directory.ErrDown, directory.ErrSlow}
	for name, test := range map[string]struct {
		code       int
		diagnostic string
		control    gldap.Control
		class      error
		text       string
	}{
		"success":                         {code: 0},
		"wrong":                           {code: 49, class: directory.ErrWrongPassword},
		"AD no such user":                 {code: 49, diagnostic: activeDirectory("525"), class: directory.ErrWrongPassword},
		"AD wrong":                        {code: 49, diagnostic: activeDirectory("52e"), class: directory.ErrWrongPassword},
		"AD restricted":                   {code: 49, diagnostic: activeDirectory("52f"), class: directory.ErrLocked, text: "restrictions"},
		"AD hours":                        {code: 49, diagnostic: activeDirectory("530"), class: directory.ErrLocked, text: "hour"},
		"AD workstation":                  {code: 49, diagnostic: activeDirectory("531"), class: directory.ErrLocked, text: "from here"},
		"AD password expired":             {code: 49, diagnostic: activeDirectory("532"), class: directory.ErrLocked, text: "password has expired"},
		"AD disabled":                     {code: 49, diagnostic: activeDirectory("533"), class: directory.ErrLocked, text: "disabled"},
		"AD expired":                      {code: 49, diagnostic: activeDirectory("701"), class: directory.ErrLocked, text: "account has expired"},
		"AD must change":                  {code: 49, diagnostic: activeDirectory("773"), class: directory.ErrLocked, text: "must be changed"},
		"AD locked":                       {code: 49, diagnostic: activeDirectory("775"), class: directory.ErrLocked, text: "account is locked"},
		"policy expired":                  {code: 49, control: policy(0), class: directory.ErrLocked, text: "password has expired"},
		"policy locked":                   {code: 49, control: policy(1), class: directory.ErrLocked, text: "account is locked"},
		"policy, right but to be changed": {code: 0, control: policy(2), class: directory.ErrLocked, text: "must be changed"},
		"policy, another error":           {code: 49, control: policy(6), class: directory.ErrWrongPassword},
		"no password set":                 {code: 48, class: directory.ErrWrongPassword},
		"removed meanwhile":               {code: 32, class: directory.ErrWrongPassword},
		"389 locked":                      {code: 19, diagnostic: "Exceed password retry limit.", class: directory.ErrLocked, text: "too many"},
		"389 inactivated":                 {code: 53, diagnostic: "Account inactivated.", class: directory.ErrLocked, text: "unwilling"},
		"busy":                            {code: 51, class: directory.ErrDown, text: "Busy"},
		"unavailable":                     {code: 52, class: directory.ErrDown, text: "Unavailable"},
		"time limit":                      {code: 3, class: directory.ErrSlow, text: "Time Limit"},
		"wants TLS":                       {code: 13, diagnostic: "it-says-something", text: "Confidentiality Required"},
	} {
		t.Run(name, func(t *testing.T) {
			var controls []gldap.Control
			if test.control != nil {
				controls = append(controls, test.control)
			}
			config := answering(t, test.code, test.diagnostic+" the-password", controls...)
			d := open(t, config)
			_, err := d.Login(t.Context(), "ann", "the-password")
			d.Close() // the server waits for its connections
			if test.class == nil && test.text == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.text)
			require.NotContains(t, err.Error(), "the-password", "even if the directory repeats it")
			for _, class := range everything {
				require.Equal(t, class == test.class, errors.Is(err, class), "%v", err)
			}
			var answer *ldap.Error
			require.False(t, errors.As(err, &answer), "the directory's own text is not passed on")
		})
	}
}

// TestAsksAnotherServerThanABusyOne has a first server that lets nobody in just now.
func TestAsksAnotherServerThanABusyOne(t *testing.T) {
	config := answering(t, gldap.ResultBusy, "")
	config.URLs = append(config.URLs, answering(t, gldap.ResultSuccess, "").URLs...)
	d := open(t, config)
	for range 2 {
		_, err := d.Login(t.Context(), "ann", "the-password")
		require.NoError(t, err)
	}
	d.Close()
}
