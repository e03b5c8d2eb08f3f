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
	on         target   // what it is for; zero: no scope
	project    *project // nil: it is for no project
	roles      []string
	caller     *service.Caller
	credential *applicationCredential // nil: issued otherwise
	issued     time.Time
	expires    time.Time
	auditIDs   []string // its own, and that of the login that it comes of
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

// kept is a token that is valid, or would be had it not expired.
func (k *Keystone) kept(id string) *token {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.tokens[id]
}

// issue makes a token valid. Its expiry, where there is one already, is that of the token it was got with.
func (k *Keystone) issue(t *token) {
	t.id = tokenID()
	t.auditIDs = append([]string{randomText(16)}, t.auditIDs...)
	t.setCaller()
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

func (t *token) setCaller() {
	t.caller = &service.Caller{UserID: t.user.id, UserName: t.user.name, Roles: t.roles}
	if t.project != nil {
		t.caller.ProjectID, t.caller.ProjectName = t.project.ID, t.project.Name
	}
}

// Expired tokens are still shown to who asks for them by allow_expired: for [token] allow_expired_window, and here only while
// there are not too many.
const (
	expiredWindow = 48 * time.Hour
	manyTokens    = 10000
)

// forgetExpired drops the oldest tokens that have expired, so that a long run keeps a lifetime's worth of them and some more.
func (k *Keystone) forgetExpired() {
	n := 0
	now := k.config.Now()
	for n < len(k.issued) {
		t := k.tokens[k.issued[n]]
		if t != nil && (now.Before(t.expires) || now.Before(t.expires.Add(expiredWindow)) && len(k.issued)-n <= manyTokens) {
			break
		}
		delete(k.tokens, k.issued[n])
		n++
	}
	if n > 0 {
		k.issued = slices.Delete(k.issued, 0, n)
	}
}

// dropTokens makes tokens invalid. It is called with the lock held.
func (k *Keystone) dropTokens(which func(*token) bool) {
	for id, t := range k.tokens {
		if which(t) {
			delete(k.tokens, id)
		}
	}
}

// refreshTokens gives tokens the roles that their users have now; Keystone asks anew whenever a token is validated. It is called
// with the lock held.
func (k *Keystone) refreshTokens(which func(*token) bool) {
	for id, t := range k.tokens {
		u := k.users[t.user.id]
		if t.on.kind == "" || u == nil || !which(t) {
			continue
		}
		roles := k.rolesOn(u, t.on)
		if c := t.credential; c != nil {
			roles = slices.DeleteFunc(roles, func(name string) bool { return !slices.Contains(c.roles, name) })
		}
		if len(roles) == 0 {
			delete(k.tokens, id)
			continue
		}
		refreshed := *t
		refreshed.roles = roles
		refreshed.setCaller()
		k.tokens[id] = &refreshed
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
func tokenID() string { return tokenPrefix + randomText(66) }

const tokenPrefix = "gAAAAAB"

func randomText(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
