package ports

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// maxExpected bounds the file of expected tags, in bytes: 100,000 ports.
const maxExpected = 5 << 20

// expectations are what ports should be, by iface-id.
type expectations struct {
	tags     map[string]int
	networks map[string]string
}

// expected asks those who know. What one does not answer the other may: the error comes with what is there.
func (e *exporter) expected(ctx context.Context) (found expectations, err error) {
	if e.Expected != "" {
		var fileErr error
		found.tags, fileErr = readExpected(e.Expected)
		err = errors.Join(err, fileErr)
	}
	if e.from.Networks != nil {
		var cloudErr error
		if found.networks, cloudErr = e.from.Networks(ctx); cloudErr != nil {
			err = errors.Join(err, fmt.Errorf("asking which network ports are in: %w", cloudErr))
		}
	}
	return found, err
}

// readExpected reads lines of a port's ID and its tag, which is "-" for none. Empty lines and what follows a # count for nothing.
func readExpected(path string) (map[string]int, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the expected tags: %w", err)
	}
	defer f.Close()
	tags := map[string]int{}
	lines := bufio.NewScanner(io.LimitReader(f, maxExpected))
	for number := 1; lines.Scan(); number++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("%s:%d: expected a port's ID and its tag, found %d words", path, number, len(fields))
		}
		tag, err := strconv.Atoi(fields[1])
		if fields[1] == "-" {
			tag, err = unset, nil
		} else if err == nil && (tag < 0 || tag >= deadTag) {
			err = errors.New("out of range")
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: expected a tag from 0 to 4094 or -, found %q", path, number, fields[1])
		}
		tags[fields[0]] = tag
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the expected tags in %s: %w", path, err)
	}
	return tags, nil
}
