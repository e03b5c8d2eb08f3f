package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// maxTyped bounds names and passwords, in bytes. Directories drop connections, which logins share, on requests that are
// too long: slapd on those of 256 KiB from clients not yet logged in (sockbuf_max_incoming in slapd.conf(5)).
const maxTyped = 1024

// Login checks a user's password and returns who that is. What is typed is untrusted; a name is what UserFilter looks for,
// so that one person may have several.
//
// A user who does not exist is refused like a wrong password, after as many operations; how long the directory itself
// takes to compare a password may still tell them apart.
func (d *Directory) Login(ctx context.Context, user, password string) (User, error) {
	switch {
	case user == "", len(user) > maxTyped, len(password) > maxTyped:
		return User{}, ErrWrongPassword
	case password == "":
		// A directory takes that for anonymous, and says yes (RFC 4513 section 5.1.2).
		return User{}, fmt.Errorf("%w: no password", ErrWrongPassword)
	}
	found, err := d.lookUp(ctx, user)
	if err != nil {
		return User{}, fmt.Errorf("looking up user %q: %w", user, err)
	}
	if found == nil {
		err := d.bind(ctx, "cn=nobody,"+d.config.UserBase, "no password")
		if err == nil || errors.Is(err, ErrLocked) {
			err = ErrWrongPassword
		}
		return User{}, fmt.Errorf("checking the password of user %q: %w", user, err)
	}
	if err := d.bind(ctx, found.DN, password); err != nil {
		return User{}, fmt.Errorf("checking the password of user %q: %w", user, err)
	}
	if found.Groups, err = d.groups(ctx, found.DN); err != nil {
		return User{}, fmt.Errorf("looking up the groups of user %q: %w", user, err)
	}
	return *found, nil
}

// lookUp returns a user without groups, and nil if there is none of that name.
func (d *Directory) lookUp(ctx context.Context, name string) (*User, error) {
	request := d.searchRequest(d.config.UserBase, ldap.ScopeWholeSubtree, d.config.userFilter(name), d.config.UserName)
	request.SizeLimit = 2 // enough to see that there are several
	var result *ldap.SearchResult
	several := false
	err := d.run(ctx, d.searches, func(c *ldap.Conn) (err error) {
		result, err = c.Search(request)
		several = ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded)
		return err
	})
	switch {
	case several || err == nil && len(result.Entries) > 1:
		return nil, errors.New("several users match: narrow UserBase or UserFilter")
	case err != nil:
		return nil, err
	case len(result.Entries) == 0:
		return nil, nil
	}
	entry := result.Entries[0]
	names := entry.GetEqualFoldAttributeValues(d.config.UserName)
	if len(names) == 0 {
		return nil, fmt.Errorf("the user has no attribute %s that the service account may see: check UserName", d.config.UserName)
	}
	ous, err := organizationalUnits(entry.DN)
	if err != nil {
		return nil, err
	}
	return &User{Name: slices.Min(names), DN: entry.DN, OUs: ous}, nil
}

// bind checks a password.
func (d *Directory) bind(ctx context.Context, dn, password string) error {
	request := ldap.NewSimpleBindRequest(dn, password, []ldap.Control{ldap.NewControlBeheraPasswordPolicy()})
	var result *ldap.SimpleBindResult
	err := d.run(ctx, d.binds, func(c *ldap.Conn) (err error) {
		result, err = c.SimpleBind(request)
		return err
	})
	code, answered := resultCode(err)
	if err != nil && !answered {
		return err
	}
	if result != nil {
		if reason, found := policyReason(result.Controls); found {
			return fmt.Errorf("%w: %s", ErrLocked, reason)
		}
	}
	switch code {
	case ldap.LDAPResultSuccess:
		return nil
	case ldap.LDAPResultInvalidCredentials:
		var answer *ldap.Error
		if errors.As(err, &answer) {
			if reason, found := activeDirectoryReason(answer.Err.Error()); found {
				return fmt.Errorf("%w: %s", ErrLocked, reason)
			}
		}
		return ErrWrongPassword
	case ldap.LDAPResultNoSuchObject, ldap.LDAPResultInappropriateAuthentication: // removed since; has no password
		return ErrWrongPassword
	case ldap.LDAPResultConstraintViolation: // after too many attempts, in 389 Directory Server (its pw_retry.c, bind.c)
		return fmt.Errorf("%w: too many attempts", ErrLocked)
	case ldap.LDAPResultUnwillingToPerform: // inactivated, expired: 389 Directory Server, FreeIPA, eDirectory
		return fmt.Errorf("%w: the directory is unwilling to let it in", ErrLocked)
	}
	// The text of an answer to a bind is the directory's, and might hold anything; its code and class are enough.
	text := ldap.LDAPResultCodeMap[code]
	for _, class := range []error{ErrDown, ErrSlow} {
		if errors.Is(err, class) {
			return fmt.Errorf("%w: %s (LDAP result %d)", class, text, code)
		}
	}
	return fmt.Errorf("the directory answered %s (LDAP result %d)", text, code)
}

// organizationalUnits returns those that a DN is in, innermost first.
func organizationalUnits(dn string) ([]string, error) {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return nil, fmt.Errorf("the directory returned a DN that RFC 4514 does not allow: %w", err)
	}
	var ous []string
	for _, rdn := range parsed.RDNs[min(1, len(parsed.RDNs)):] { // the first is the entry itself
		for _, a := range rdn.Attributes {
			// RFC 4519 section 2.19 has both names.
			if strings.EqualFold(a.Type, "ou") || strings.EqualFold(a.Type, "organizationalUnitName") {
				ous = append(ous, a.Value)
			}
		}
	}
	return ous, nil
}
