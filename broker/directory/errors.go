package directory

import (
	"errors"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// What a caller decides on. Any other error of a login or check, but for a context's, is one of configuration, here or in
// the directory; its text says what to look at.
var (
	// ErrWrongPassword is also the answer for a user who does not exist.
	ErrWrongPassword = errors.New("wrong user name or password")
	// ErrLocked says that the directory does not let the account in: locked, disabled, expired, its password expired or to
	// be changed first. Some directories say so only when the password was right, some never.
	ErrLocked = errors.New("the account is locked, disabled or expired")
	// ErrDown says that no directory server can be used: refused, unreachable, TLS failed, the service account refused,
	// or they say themselves that they are busy or unavailable.
	ErrDown = errors.New("the directory is down")
	// ErrSlow says that the directory, or the caller's context, ran out of time.
	ErrSlow = errors.New("the directory did not answer in time")
)

// resultCode returns the result code of a directory's answer (RFC 4511 appendix A), and false where err is no answer but a
// failure of the connection. From 200 on, codes are the LDAP library's own.
func resultCode(err error) (uint16, bool) {
	var answer *ldap.Error
	if !errors.As(err, &answer) || answer.ResultCode >= ldap.ErrorNetwork {
		return 0, false
	}
	return answer.ResultCode, true
}

// unavailable tells whether a directory server itself says that another one should be asked.
func unavailable(err error) bool {
	return ldap.IsErrorAnyOf(err, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable)
}

// activeDirectoryReason returns why Active Directory refuses an account. Its diagnostic messages end like
// "AcceptSecurityContext error, data 775, v2580", where data is a Win32 error code in hexadecimal, listed in [MS-ERREF]
// section 2.2. Codes not listed here (525 no such user, 52e wrong password) are wrong passwords.
func activeDirectoryReason(diagnostic string) (reason string, found bool) {
	_, rest, found := strings.Cut(diagnostic, ", data ")
	if !found {
		return "", false
	}
	code, _, _ := strings.Cut(rest, ",")
	switch strings.ToLower(strings.TrimSpace(code)) {
	case "52f":
		return "account restrictions", true // ERROR_ACCOUNT_RESTRICTION
	case "530":
		return "logging in is not allowed at this hour", true // ERROR_INVALID_LOGON_HOURS
	case "531":
		return "logging in is not allowed from here", true // ERROR_INVALID_WORKSTATION
	case "532":
		return "the password has expired", true // ERROR_PASSWORD_EXPIRED
	case "533":
		return "the account is disabled", true // ERROR_ACCOUNT_DISABLED
	case "701":
		return "the account has expired", true // ERROR_ACCOUNT_EXPIRED
	case "773":
		return "the password must be changed first", true // ERROR_PASSWORD_MUST_CHANGE
	case "775":
		return "the account is locked", true // ERROR_ACCOUNT_LOCKED_OUT
	}
	return "", false
}

// policyReason returns why a password policy refuses an account, from the control that draft-behera-ldap-password-policy-10
// section 6.2 adds to the answer to a bind. OpenLDAP tells of locked accounts only with ppolicy_use_lockout.
func policyReason(controls []ldap.Control) (reason string, found bool) {
	policy, ok := ldap.FindControl(controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
	if !ok {
		return "", false
	}
	switch policy.Error {
	case ldap.BeheraPasswordExpired:
		return "the password has expired", true
	case ldap.BeheraAccountLocked:
		return "the account is locked", true
	case ldap.BeheraChangeAfterReset:
		return "the password must be changed first", true
	}
	return "", false
}
