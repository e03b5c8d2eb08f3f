package keystone

import (
	"crypto/rand"
	"encoding/base64"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// token is what was issued. It does not change but for its end.
type token struct {
	id         string
	methods    []string
	user       *user
	project    *project // nil: no scope
	roles      []string
	caller     *service.Caller
	credential *applicationCredential // nil: issued otherwise
	issued     time.Time
	expires    time.Time
	auditID    string
}

// Caller says whom a token belongs to; nil if it is not valid.
func (k *Keystone) Caller(id string) *service.Caller {
	if t := k.valid(id); t != nil {
		return t.caller
	}
	return nil
}

func (k *Keystone) valid(id string) *token {
	k.mu.RLock()
	defer k.mu.RUnlock()
	t := k.tokens[id]
	if t == nil || !k.config.Now().Before(t.expires) {
		return nil
	}
	return t
}

// issue makes a token valid. Its expiry, where there is one already, is that of the token it was got with.
func (k *Keystone) issue(t *token) {
	t.id = tokenID()
	t.auditID = randomText(16)
	t.caller = &service.Caller{UserID: t.user.id, UserName: t.user.name, Roles: t.roles}
	if t.project != nil {
		t.caller.ProjectID, t.caller.ProjectName = t.project.ID, t.project.Name
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	t.issued = k.config.Now()
	if t.expires.IsZero() {
		t.expires = t.issued.Add(k.lifetime)
	}
	k.forgetExpired()
	k.tokens[t.id] = t
	k.issued = append(k.issued, t.id)
}

// forgetExpired drops the oldest tokens that are no longer valid, so that a long run keeps a lifetime's worth of them.
func (k *Keystone) forgetExpired() {
	n := 0
	for n < len(k.issued) {
		t := k.tokens[k.issued[n]]
		if t != nil && k.config.Now().Before(t.expires) {
			break
		}
		delete(k.tokens, k.issued[n])
		n++
	}
	if n > 0 {
		k.issued = slices.Delete(k.issued, 0, n)
	}
}

func (k *Keystone) revoke(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.tokens, id)
}

// SetLifetime sets how long tokens are valid that are issued from now on, and returns what it was. Zero or less: they are
// invalid at once.
func (k *Keystone) SetLifetime(d time.Duration) (before time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before, k.lifetime = k.lifetime, d
	return before
}

// ExpireTokens makes all tokens issued so far invalid.
func (k *Keystone) ExpireTokens() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.tokens)
	k.issued = nil
}

// tokenID looks like a Fernet token: clients must treat it as opaque, and logs' filters look for this beginning.
func tokenID() string { return "gAAAAAB" + randomText(66) }

func randomText(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
