package activity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// ClientToken is the token that speaks for one client: HMAC-SHA256 under the exporter's secret. Who opens one thin client
// finds a token that says nothing of the others.
func ClientToken(secret, client string) string { return token(secret, "client\n"+client) }

// SiteToken is the token that speaks for all clients of a site: a relay's or a load generator's.
func SiteToken(secret, site string) string { return token(secret, "site\n"+site) }

func token(secret, of string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(of))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
