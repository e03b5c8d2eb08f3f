package cloud

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/gophercloud/gophercloud/v2"
)

// eachPage reads a list to its end. take gets each page and returns the address of the next one, empty after the last.
// Pages are decoded straight into P: gophercloud's own pager decodes each three times, which thousands of servers feel.
func eachPage[P any](ctx context.Context, client *gophercloud.ServiceClient, address string, query url.Values,
	take func(P) (next string, err error),
) error {
	return eachAnswer(ctx, client, address, query, func(page P, _ http.Header) (string, error) { return take(page) })
}

// eachAnswer is eachPage for who wants to see the answers' headers, too.
func eachAnswer[P any](ctx context.Context, client *gophercloud.ServiceClient, address string, query url.Values,
	take func(P, http.Header) (next string, err error),
) error {
	seen := map[string]bool{}
	for {
		question := query.Encode()
		if seen[question] {
			return errors.New("the list's pages go round in circles")
		}
		seen[question] = true
		var page P
		if question != "" {
			question = "?" + question
		}
		answer, err := client.Get(ctx, address+question, &page, nil)
		if err != nil {
			return err
		}
		next, err := take(page, answer.Header)
		if err != nil || next == "" {
			return err
		}
		// Only its query: behind a proxy, links often name the host that the service thinks it is, and the token should
		// not go there.
		u, err := url.Parse(next)
		if err != nil {
			return errors.New("the link to the list's next page is not an address")
		}
		query = u.Query()
	}
}
