package service

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Version is a microversion of an API, such as 2.93.
type Version struct{ Major, Minor int }

// ErrVersion is a microversion that is no "major.minor".
var ErrVersion = errors.New("a microversion is of the form major.minor")

// ParseVersion reads "2.93", each part without leading zeros, as OpenStack's services do.
func ParseVersion(s string) (Version, error) {
	major, minor, ok := strings.Cut(s, ".")
	v := Version{number(major), number(minor)}
	if !ok || v.Major < 1 || v.Minor < 0 {
		return Version{}, fmt.Errorf("%q: %w", s, ErrVersion)
	}
	return v, nil
}

// number is -1 for what is no number.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || strconv.Itoa(n) != s {
		return -1
	}
	return n
}

// AtLeast tells whether v is not earlier than other.
func (v Version) AtLeast(other Version) bool {
	return v.Major > other.Major || v.Major == other.Major && v.Minor >= other.Minor
}

func (v Version) String() string { return strconv.Itoa(v.Major) + "." + strconv.Itoa(v.Minor) }

// RequestedVersion is the microversion that a request asks a service ("compute") for: that of the OpenStack-API-Version
// header, which may name several services, else that of the service's older header. It is empty where there is none.
// https://specs.openstack.org/openstack/api-sig/guidelines/microversion_specification.html
func RequestedVersion(h http.Header, service, olderHeader string) string {
	for _, line := range h.Values("OpenStack-API-Version") {
		for part := range strings.SplitSeq(line, ",") {
			name, version, ok := strings.Cut(strings.TrimSpace(part), " ")
			if ok && strings.EqualFold(name, service) {
				return strings.TrimSpace(version)
			}
		}
	}
	if olderHeader == "" {
		return ""
	}
	return h.Get(olderHeader)
}
