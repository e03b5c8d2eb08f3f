package influx

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"
)

// What InfluxDB does not want, which trying again does not change.
var (
	ErrToken   = errors.New("InfluxDB refuses the token; give it one that may write to the bucket and read it (influxdb.token)")
	ErrBucket  = errors.New("InfluxDB has no such organisation or bucket; make it, or correct influxdb.org and influxdb.bucket")
	ErrRefused = errors.New("what is at influxdb.url refuses to take points; it may be no InfluxDB 2")
	ErrLine    = errors.New("InfluxDB refuses a point")
)

var errTooLarge = errors.New("InfluxDB refuses a request because of its size")

// explain says what an answer means. Errors that are none of those above are temporary.
func explain(err error) error {
	var answer *influxhttp.Error
	if err == nil || !errors.As(err, &answer) {
		return err
	}
	// The statuses are those of POST /api/v2/write (docs.influxdata.com/influxdb/v2/api).
	switch s := answer.StatusCode; {
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return fmt.Errorf("%w (%s)", ErrToken, said(answer))
	case s == http.StatusNotFound:
		return fmt.Errorf("%w (%s)", ErrBucket, said(answer))
	case s == http.StatusBadRequest, s == http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %s", ErrLine, said(answer))
	case s == http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%w: %s", errTooLarge, said(answer))
	case s >= 300 && s < 500 && s != http.StatusTooManyRequests && s != http.StatusRequestTimeout:
		return fmt.Errorf("%w (%d: %s)", ErrRefused, s, said(answer))
	}
	return err
}

// said is what the server answered, on one short line.
func said(e *influxhttp.Error) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(e.Error(), "?")), " ")
	if runes := []rune(text); len(runes) > 300 {
		text = string(runes[:300]) + "..."
	}
	return text
}

// blocks says whether an error stays until somebody does something.
func blocks(err error) bool {
	return errors.Is(err, ErrToken) || errors.Is(err, ErrBucket) || errors.Is(err, ErrRefused)
}

// maxRetryAfter bounds what a server may ask for.
const maxRetryAfter = 5 * time.Minute

func retryAfter(err error) time.Duration {
	var answer *influxhttp.Error
	if errors.As(err, &answer) {
		return min(time.Duration(answer.RetryAfter)*time.Second, maxRetryAfter)
	}
	return 0
}
