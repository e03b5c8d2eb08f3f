package notify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/internal/authority"
)

// mailTimeout bounds one attempt, from the connection to the server's last word.
const mailTimeout = 30 * time.Second

func (e *Email) deliver(ctx context.Context, m message, now time.Time) error {
	text, err := e.write(m, now)
	if err != nil {
		return fmt.Errorf("writing the mail: %w", err)
	}
	if err := e.send(ctx, text); err != nil {
		err = fmt.Errorf("mailing through %s: %w", e.Server, err)
		if mayPass(err) {
			return temporary{error: err}
		}
		return err
	}
	return nil
}

// mayPass says whether another attempt may help: the network, and what the server calls transient (RFC 5321, 4.2.1).
func mayPass(err error) bool {
	var answer *textproto.Error
	if errors.As(err, &answer) {
		return answer.Code >= 400 && answer.Code < 500
	}
	var file *fs.PathError
	if errors.As(err, &file) { // a password's or an authority's, whose error number looks like the network's
		return false
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// send walks through the dialogue of RFC 5321.
func (e *Email) send(ctx context.Context, text []byte) error {
	password := ""
	if e.User != "" {
		var err error
		if password, err = e.Password.Read(); err != nil {
			return err
		}
	}
	host, _, err := net.SplitHostPort(e.Server)
	if err != nil {
		return err
	}
	security := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if e.CAFile != "" {
		if security.RootCAs, err = authority.Read(e.CAFile); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", e.Server)
	if err != nil {
		return err
	}
	defer conn.Close()
	raw := conn
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	if e.TLS == ImplicitTLS {
		conn = tls.Client(conn, security)
	}
	if err := e.dialogue(conn, host, security, password, text); err != nil {
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		return err
	}
	return nil
}

func (e *Email) dialogue(conn net.Conn, host string, security *tls.Config, password string, text []byte) error {
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return err
	}
	defer c.Close()
	if e.TLS == StartTLS {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("the server offers no STARTTLS; nothing was sent. Set tls to tls, or to none where the server is on this machine")
		}
		if err := c.StartTLS(security); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if e.User != "" {
		if err := c.Auth(e.auth(c, host, password)); err != nil {
			return fmt.Errorf("logging in as %s: %w", e.User, withoutSecret(err, password))
		}
	}
	from, err := mail.ParseAddress(e.From)
	if err != nil {
		return err
	}
	if err := c.Mail(from.Address); err != nil {
		return fmt.Errorf("sender %s: %w", from.Address, err)
	}
	for _, to := range e.To {
		address, err := mail.ParseAddress(to)
		if err != nil {
			return err
		}
		if err := c.Rcpt(address.Address); err != nil {
			return fmt.Errorf("receiver %s: %w", address.Address, err)
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // the server has taken the mail; what it says to a farewell changes nothing
	return nil
}

// auth is PLAIN (RFC 4616), or LOGIN where the server knows that alone, as Microsoft's do.
func (e *Email) auth(c *smtp.Client, host, password string) smtp.Auth {
	_, offers := c.Extension("AUTH")
	if ways := strings.Fields(strings.ToUpper(offers)); slices.Contains(ways, "LOGIN") && !slices.Contains(ways, "PLAIN") {
		return &loginAuth{e.User, password}
	}
	return smtp.PlainAuth("", e.User, password, host)
}

// loginAuth answers the server's two questions. It is used inside TLS only: Read refuses a user without.
type loginAuth struct{ user, password string }

func (l *loginAuth) Start(server *smtp.ServerInfo) (string, []byte, error) {
	if !server.TLS {
		return "", nil, errors.New("unencrypted connection")
	}
	return "LOGIN", nil, nil
}

func (l *loginAuth) Next(question []byte, more bool) ([]byte, error) {
	switch q := strings.ToLower(string(question)); {
	case !more:
		return nil, nil
	case strings.HasPrefix(q, "user"):
		return []byte(l.user), nil
	case strings.HasPrefix(q, "pass"):
		return []byte(l.password), nil
	}
	return nil, errors.New("the server asks for something else than user and password")
}

// withoutSecret takes a password out of what a server says.
func withoutSecret(err error, secret string) error {
	var answer *textproto.Error
	if errors.As(err, &answer) && strings.Contains(answer.Msg, secret) {
		return &textproto.Error{Code: answer.Code, Msg: "refused"}
	}
	return err
}

// write writes the mail: plain text, which every reader shows, and a watch can read out.
func (e *Email) write(m message, now time.Time) ([]byte, error) {
	from, err := mail.ParseAddress(e.From)
	if err != nil {
		return nil, err
	}
	var to []string
	for _, t := range e.To {
		address, err := mail.ParseAddress(t)
		if err != nil {
			return nil, err
		}
		to = append(to, address.String())
	}
	var b bytes.Buffer
	_, domain, _ := strings.Cut(from.Address, "@")
	id := sha256.Sum256([]byte(m.ID + "\x00" + m.Event + "\x00" + strings.Join(to, ",")))
	for _, h := range [][2]string{
		{"From", from.String()}, {"To", strings.Join(to, ",\r\n ")}, {"Subject", mime.QEncoding.Encode("utf-8", "[deskstorm] "+m.subject())},
		{"Date", now.Format(time.RFC1123Z)}, {"Message-ID", "<" + hex.EncodeToString(id[:16]) + "@" + domain + ">"},
		{"Auto-Submitted", "auto-generated"}, // RFC 3834: no out-of-office answers
		{"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(strings.Join(m.lines(), "\r\n") + "\r\n")); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
