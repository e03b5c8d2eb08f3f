package debian

import (
	"context"
	"fmt"
	"net/http"
)

// answersHTTP is for services that are there when a page of theirs is.
func answersHTTP(port int, path string) func(context.Context, *Lab) error {
	return func(ctx context.Context, l *Lab) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url(port)+path, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode >= http.StatusBadRequest {
			return fmt.Errorf("%s%s answers %s", l.url(port), path, response.Status)
		}
		return nil
	}
}

func (l *Lab) url(port int) string { return "http://" + l.at(port) }
