package directory

// User is what the directory says of a user.
type User struct {
	Name   string   // as the directory spells it
	DN     string   // RFC 4514
	OUs    []string // the organizational units it is in, innermost first, as names: "Night shift", "Sales"
	Groups []string // the groups it is in, directly or through other groups, as names; sorted
}
