package directory

import (
	"context"
	"errors"
	"slices"
	"sort"
	"strings"

	"github.com/go-ldap/ldap/v3"
	"github.com/jimlambrt/gldap"
)

// routes returns what is answered; the library answers everything else with "unwilling to perform", or hangs up.
func (s *Server) routes() (*gldap.Mux, error) {
	mux, err := gldap.NewMux()
	if err != nil {
		return nil, err
	}
	problems := []error{mux.Bind(s.bind), mux.Search(s.search)}
	if s.config.TLS != nil {
		problems = append(problems, mux.ExtendedOperation(s.startTLS, gldap.ExtendedOperationStartTLS))
	}
	return mux, errors.Join(problems...)
}

// startTLS is called before the connection's next request is read.
func (s *Server) startTLS(w *gldap.ResponseWriter, r *gldap.Request) {
	response := r.NewExtendedResponse(gldap.WithResponseCode(gldap.ResultSuccess))
	response.SetResponseName(gldap.ExtendedOperationStartTLS)
	if w.Write(response) == nil {
		_ = r.StartTLS(s.config.TLS) // a client that fails hangs up
	}
}

func (s *Server) setBound(connection int, user string) {
	s.boundMu.Lock()
	defer s.boundMu.Unlock()
	if user == "" {
		delete(s.bound, connection)
	} else {
		s.bound[connection] = user
	}
}

func (s *Server) boundTo(connection int) string {
	s.boundMu.Lock()
	defer s.boundMu.Unlock()
	return s.bound[connection]
}

func (s *Server) bind(w *gldap.ResponseWriter, r *gldap.Request) {
	m, err := r.GetSimpleBindMessage()
	if err != nil {
		return
	}
	s.binds.Add(1)
	s.setBound(r.ConnectionID(), "") // until it succeeds (RFC 4513 section 4)
	if s.pause(context.Background()) != nil {
		return
	}
	response := r.NewBindResponse(gldap.WithResponseCode(gldap.ResultSuccess))
	user := key(m.UserName)
	switch err := s.checkDN(user, m.UserName, string(m.Password)); {
	case err == nil && m.UserName != "":
		s.setBound(r.ConnectionID(), user)
	case errors.Is(err, errNoPassword):
		response.SetResultCode(gldap.ResultUnwillingToPerform)
		response.SetDiagnosticMessage("unauthenticated bind (DN with no password) disallowed")
	case err != nil:
		response.SetResultCode(gldap.ResultInvalidCredentials)
		if errors.Is(err, ErrLocked) && asksForPolicy(m.Controls) {
			// The library makes no errors of this option: the code is one it knows.
			if locked, err := gldap.NewControlBeheraPasswordPolicy(gldap.WithErrorCode(gldap.BeheraAccountLocked)); err == nil {
				response.SetControls(locked)
			}
		}
	}
	_ = w.Write(response) // a client that is gone needs none
}

func asksForPolicy(controls []gldap.Control) bool {
	return slices.ContainsFunc(controls, func(c gldap.Control) bool {
		return c.GetControlType() == gldap.ControlTypeBeheraPasswordPolicy
	})
}

// errNoPassword is an unauthenticated bind (RFC 4513 section 5.1.2), which servers should refuse.
var errNoPassword = errors.New("no password")

// checkDN checks a password by DN. No DN and no password are anonymous.
func (s *Server) checkDN(user, dn, password string) error {
	switch {
	case dn == "" && password == "":
		return nil
	case password == "":
		return errNoPassword
	case user == key(s.config.ServiceDN) && password == s.config.ServicePassword:
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.tree.entries[user]
	if e == nil || len(e.get("uid").values) == 0 {
		return ErrWrongPassword
	}
	return s.users[strings.ToLower(e.get("uid").values[0])].check(password)
}

func (s *Server) search(w *gldap.ResponseWriter, r *gldap.Request) {
	m, err := r.GetSearchMessage()
	if err != nil {
		return
	}
	s.searches.Add(1)
	if s.pause(context.Background()) != nil {
		return
	}
	done := r.NewSearchDoneResponse(gldap.WithResponseCode(gldap.ResultSuccess))
	found, code := s.find(m, s.boundTo(r.ConnectionID()))
	limit := s.config.SizeLimit
	if m.SizeLimit > 0 && (limit == 0 || int(m.SizeLimit) < limit) {
		limit = int(m.SizeLimit)
	}
	if paging := pagingOf(m.Controls); paging != nil {
		page, cookie := nextPage(found, paging)
		found = page
		done.SetControls(&gldap.ControlPaging{Cookie: cookie})
	}
	if limit > 0 && len(found) > limit {
		found, code = found[:limit], gldap.ResultSizeLimitExceeded
	}
	for _, e := range found {
		if w.Write(entryResponse(r, m, e)) != nil {
			return
		}
	}
	done.SetResultCode(code)
	_ = w.Write(done)
}

// find returns the entries that match, sorted, and LDAP's result code.
func (s *Server) find(m *gldap.SearchMessage, user string) ([]*entry, int) {
	if m.BaseDN == "" && m.Scope == gldap.BaseObject {
		return []*entry{s.rootDSE()}, gldap.ResultSuccess
	}
	if user != key(s.config.ServiceDN) {
		return nil, gldap.ResultInsufficientAccessRights
	}
	filter, err := ldap.CompileFilter(m.Filter)
	if err != nil {
		return nil, gldap.ResultProtocolError
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, exists := s.tree.search(m.BaseDN, int(m.Scope), filter)
	if !exists {
		return nil, gldap.ResultNoSuchObject
	}
	return found, gldap.ResultSuccess
}

// rootDSE returns what the server is (RFC 4512 section 5.1).
func (s *Server) rootDSE() *entry {
	e := newEntry("", objectClass("top"),
		newAttribute("namingContexts", s.config.BaseDN),
		newAttribute("supportedLDAPVersion", "3"),
		newAttribute("supportedControl", gldap.ControlTypePaging, gldap.ControlTypeBeheraPasswordPolicy))
	if s.config.TLS != nil {
		e.attributes = append(e.attributes, newAttribute("supportedExtension", string(gldap.ExtendedOperationStartTLS)))
	}
	return e
}

func pagingOf(controls []gldap.Control) *gldap.ControlPaging {
	for _, c := range controls {
		if paging, ok := c.(*gldap.ControlPaging); ok {
			return paging
		}
	}
	return nil
}

// nextPage returns the next page of entries, and the cookie for the one after it; empty after the last. The cookie is the
// key of the last entry sent, so that pages need no state here. A page size of 0 ends the search (RFC 2696 section 3).
func nextPage(found []*entry, paging *gldap.ControlPaging) (page []*entry, cookie []byte) {
	if paging.PagingSize == 0 {
		return nil, nil
	}
	if len(paging.Cookie) > 0 {
		start := sort.Search(len(found), func(i int) bool { return found[i].key > string(paging.Cookie) })
		found = found[start:]
	}
	if len(found) <= int(paging.PagingSize) {
		return found, nil
	}
	page = found[:paging.PagingSize]
	return page, []byte(page[len(page)-1].key)
}

// entryResponse returns an entry with the attributes that were asked for (RFC 4511 section 4.5.1.8).
func entryResponse(r *gldap.Request, m *gldap.SearchMessage, e *entry) *gldap.SearchResponseEntry {
	response := r.NewSearchResponseEntry(e.dn)
	all := len(m.Attributes) == 0 || slices.Contains(m.Attributes, "*")
	for _, a := range e.attributes {
		asked := all || slices.ContainsFunc(m.Attributes, func(name string) bool { return strings.EqualFold(name, a.name) })
		switch {
		case !asked || len(a.values) == 0:
		case m.TypesOnly:
			response.AddAttribute(a.name, nil)
		default:
			response.AddAttribute(a.name, a.values)
		}
	}
	return response
}
