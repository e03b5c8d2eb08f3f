package notify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// postOffice is a mail server that takes what it gets.
type postOffice struct {
	mutex    sync.Mutex
	ways     []string // to log in
	refuse   []error  // of the next mails; nil: it is taken
	from     string
	to       []string
	mails    []string
	loggedIn string
}

func (p *postOffice) NewSession(*smtp.Conn) (smtp.Session, error) { return &mailSession{p}, nil }

type mailSession struct{ *postOffice }

func (s *mailSession) AuthMechanisms() []string { return s.ways }

func (s *mailSession) Auth(way string) (sasl.Server, error) {
	check := func(user, password string) error {
		if user != "deskstorm" || password != "hunter2" {
			return &smtp.SMTPError{Code: 535, Message: "no user " + user + " with " + password}
		}
		s.mutex.Lock()
		defer s.mutex.Unlock()
		s.loggedIn = way
		return nil
	}
	if way == sasl.Plain {
		return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
	}
	return &loginServer{check: check}, nil
}

// loginServer asks the two questions of LOGIN.
type loginServer struct {
	check func(user, password string) error
	asked int
	user  string
}

func (l *loginServer) Next(answer []byte) (question []byte, done bool, err error) {
	l.asked++
	switch l.asked {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(answer)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(answer))
}

func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.from, s.to = from, nil
	if len(s.refuse) > 0 {
		err := s.refuse[0]
		s.refuse = s.refuse[1:]
		return err
	}
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.to = append(s.to, to)
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.mails = append(s.mails, string(text))
	return err
}

func (s *mailSession) Reset()        {}
func (s *mailSession) Logout() error { return nil }

// certificate returns one for 127.0.0.1 and the path of its authority's, which is itself.
func certificate(t *testing.T) (tls.Certificate, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "post office"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}

// open opens the post office and returns a receiver of its mail.
func (p *postOffice) open(t *testing.T, way TLS) Receiver {
	cert, ca := certificate(t)
	security := &tls.Config{Certificates: []tls.Certificate{cert}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	if way == ImplicitTLS {
		l = tls.NewListener(l, security)
	}
	s := smtp.NewServer(p)
	s.Domain = "localhost"
	s.ErrorLog = quiet{}
	if way == StartTLS {
		s.TLSConfig = security
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // it ends when the listener is closed
	}()
	t.Cleanup(func() {
		s.Close()
		l.Close()
		<-done
	})
	e := &Email{Server: l.Addr().String(), TLS: way, CAFile: ca, From: "deskstorm <deskstorm@example.com>",
		To: []string{"Müller <operators@example.com>", "night@example.com"}}
	if len(p.ways) > 0 {
		e.User, e.Password = "deskstorm", configfile.Plain("hunter2")
	}
	return Receiver{Name: "mail", When: []verdict.Outcome{verdict.Deviated}, Of: Of{1, 1}, Email: e}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func TestEmail(t *testing.T) {
	for _, test := range []struct {
		name string
		tls  TLS
		ways []string
	}{
		{"STARTTLS, PLAIN", StartTLS, []string{"PLAIN", "LOGIN"}},
		{"STARTTLS, LOGIN", StartTLS, []string{"LOGIN"}},
		{"TLS", ImplicitTLS, []string{"PLAIN"}},
		{"on this machine", NoTLS, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &postOffice{ways: test.ways}
			n, _ := notifier(Config{Receivers: []Receiver{p.open(t, test.tls)}}, &memory{})
			require.NoError(t, n.Tell(t.Context(), []string{"mail"}, event(verdict.Deviated)))
			require.Len(t, p.mails, 1)
			require.Equal(t, "deskstorm@example.com", p.from)
			require.Equal(t, []string{"operators@example.com", "night@example.com"}, p.to)
			if len(test.ways) > 0 {
				require.Equal(t, test.ways[0], p.loggedIn)
			}
			m, err := mail.ReadMessage(strings.NewReader(p.mails[0]))
			require.NoError(t, err)
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			require.NoError(t, err)
			require.Equal(t, "[deskstorm] boot-storm: deviated", subject)
			to, err := m.Header.AddressList("To")
			require.NoError(t, err)
			require.Equal(t, "Müller", to[0].Name)
			require.Empty(t, m.Header.Get("Bcc"), "what an error says becomes no header")
			body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
			require.NoError(t, err)
			require.Contains(t, string(body), "Zwei <hundert> Schreibtische & mehr")
			require.Contains(t, string(body), "Run 20261126T021500-7f3a9c, began 2026-11-26 02:15 UTC.")
			for line := range strings.Lines(p.mails[0]) {
				require.LessOrEqual(t, len(line), 1000, "RFC 5322, 2.1.1")
			}
		})
	}
}

// TestEmailHeaders: an experiment's name is one header's text, whatever is in it.
func TestEmailHeaders(t *testing.T) {
	p := &postOffice{}
	n, _ := notifier(Config{Receivers: []Receiver{p.open(t, NoTLS)}}, &memory{})
	e := event(verdict.Deviated)
	e.Run.Experiment = "storm\r\nBcc: all@example.com\r\n\r\nfür alle " + strings.Repeat("lang ", 200)
	require.NoError(t, n.Tell(t.Context(), []string{"mail"}, e))
	m, err := mail.ReadMessage(strings.NewReader(p.mails[0]))
	require.NoError(t, err)
	require.Empty(t, m.Header.Get("Bcc"))
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	require.NoError(t, err)
	require.Contains(t, subject, "storm  Bcc: all@example.com    für alle")
}

func TestEmailRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		office *postOffice
		tls    TLS
		change func(*Email)
		waits  int
		says   string // empty: it arrives
	}{
		{"busy, then not", &postOffice{refuse: []error{&smtp.SMTPError{Code: 451, Message: "try later"}, nil}}, NoTLS, nil, 1, ""},
		{"busy", &postOffice{refuse: slicesOf(&smtp.SMTPError{Code: 451, Message: "try later"}, 9)}, NoTLS, nil, 3, "tried 4 times"},
		{"refused", &postOffice{refuse: slicesOf(&smtp.SMTPError{Code: 550, Message: "no relay"}, 9)}, NoTLS, nil, 0, "sender deskstorm@example.com: 550"},
		{"no STARTTLS", &postOffice{}, NoTLS, func(e *Email) { e.TLS = StartTLS }, 0, "offers no STARTTLS; nothing was sent"},
		{"wrong password", &postOffice{ways: []string{"PLAIN"}}, StartTLS, func(e *Email) { e.Password = configfile.Plain("hunter3") }, 0,
			"logging in as deskstorm: 535"},
		{"unknown authority", &postOffice{}, StartTLS, func(e *Email) { e.CAFile = "" }, 0, "certificate"},
		{"no authority's file", &postOffice{}, StartTLS, func(e *Email) { e.CAFile = "/nowhere" }, 0, "no such file"},
		{"no password", &postOffice{ways: []string{"PLAIN"}}, StartTLS, func(e *Email) { e.Password = configfile.Secret{File: "/nowhere"} }, 0,
			"reading a secret"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := test.office.open(t, test.tls)
			if test.change != nil {
				test.change(r.Email)
			}
			n, waited := notifier(Config{Receivers: []Receiver{r}}, &memory{})
			err := n.Tell(t.Context(), []string{"mail"}, event(verdict.Deviated))
			require.Len(t, *waited, test.waits)
			if test.says == "" {
				require.NoError(t, err)
				require.Len(t, test.office.mails, 1)
				return
			}
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error(), "hunter")
			require.Empty(t, test.office.mails)
		})
	}
}

func slicesOf(err error, n int) []error {
	all := make([]error, n)
	for i := range all {
		all[i] = err
	}
	return all
}

// TestEmailHangs: a server that says nothing is given up when the context ends.
func TestEmailHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	r := (&postOffice{}).open(t, NoTLS)
	r.Email.Server = l.Addr().String()
	n := New(Config{Receivers: []Receiver{r}}, &memory{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	t.Cleanup(cancel)
	began := time.Now()
	err = n.Tell(ctx, []string{"mail"}, event(verdict.Deviated))
	require.Error(t, err)
	require.Less(t, time.Since(began), 5*time.Second)
}
