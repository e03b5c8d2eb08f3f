package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/utils"
	"golang.org/x/sync/singleflight"
)

// Microversions of Nova's API 2: its "REST API Version History". What is not asked for by a number is never used.
const (
	needMinor = 52 // tags when a server is created
	wantMinor = 99 // spice-direct consoles
)

// shared is what Configs of one cloud have in common.
type shared struct {
	clock       clock
	budget      budget
	discoveries singleflight.Group // by address

	refusesMetadata atomic.Bool // Nova does not filter servers by metadata

	mu            sync.Mutex
	microversions map[string]string // negotiated, by address
}

func newShared() *shared {
	return &shared{clock: realClock{}, microversions: map[string]string{}}
}

// microversion is the one to speak at a compute endpoint. The first who asks finds out for all, who wait for it.
func (h *shared) microversion(ctx context.Context, s *session, base string) (string, error) {
	if version, ok := h.known(base); ok {
		return version, nil
	}
	done := h.discoveries.DoChan(base, func() (any, error) {
		if version, ok := h.known(base); ok {
			return version, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sharedWork)
		defer cancel()
		version, err := discover(ctx, s, base)
		if err != nil {
			return "", err // and the next one asks again
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.microversions[base] = version
		return version, nil
	})
	select {
	case result := <-done:
		if result.Err != nil {
			return "", result.Err
		}
		return result.Val.(string), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (h *shared) known(base string) (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	version, ok := h.microversions[base]
	return version, ok
}

// discover reads the endpoint's version document, which Nova gives to anybody, without a token.
func discover(ctx context.Context, s *session, base string) (string, error) {
	var version string
	err := s.call(ctx, "asking for the microversions of", base, func(ctx context.Context) error {
		var document struct {
			Version struct {
				Min string `json:"min_version"`
				Max string `json:"version"`
			} `json:"version"`
		}
		nova := client(s.below, "", base)
		if _, err := nova.Get(ctx, base, &document, &gophercloud.RequestOpts{OkCodes: []int{http.StatusOK}}); err != nil {
			return err
		}
		var err error
		version, err = negotiate(document.Version.Min, document.Version.Max)
		return err
	})
	return version, err
}

// negotiate picks the highest of what both sides know.
func negotiate(lowest, highest string) (string, error) {
	if highest == "" {
		return "", fmt.Errorf("%w: this compute service knows no microversions, and tags need 2.%d (Pike)",
			ErrNotOffered, needMinor)
	}
	minMajor, minMinor, err := utils.ParseMicroversion(lowest)
	if err != nil {
		return "", errors.New("its lowest microversion is not a version")
	}
	maxMajor, maxMinor, err := utils.ParseMicroversion(highest)
	if err != nil {
		return "", errors.New("its highest microversion is not a version")
	}
	switch {
	case maxMajor < 2 || maxMajor == 2 && maxMinor < needMinor:
		return "", fmt.Errorf("%w: this compute service speaks microversions to 2.%d, and tags need 2.%d (Pike)",
			ErrNotOffered, maxMinor, needMinor)
	case minMajor > 2 || minMajor == 2 && minMinor > wantMinor:
		return "", fmt.Errorf("%w: this compute service speaks no microversion below %s, and this program none above 2.%d",
			ErrNotOffered, lowest, wantMinor)
	case maxMajor > 2:
		maxMinor = wantMinor
	}
	return fmt.Sprintf("2.%d", min(maxMinor, wantMinor)), nil
}
