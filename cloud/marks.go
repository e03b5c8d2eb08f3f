package cloud

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Metadata keys and tags of everything that is made here, for those who look for what a run left behind.
const (
	OwnerKey = "deskstorm_owner" // metadata
	RunKey   = "deskstorm_run"   // metadata
	OwnerTag = "deskstorm-owner" // tags OwnerTag=Owner
	RunTag   = "deskstorm-run"   // tags RunTag=Run
)

// maxTag is how long a tag may be, in characters: MAX_TAG_LENGTH of Nova's nova/objects/tag.py.
const maxTag = 60

func (c Config) checkMarks() error {
	for _, tag := range c.markTags() {
		if err := checkTag(tag); err != nil {
			return fmt.Errorf("owner and run are written as tags: %w", err)
		}
	}
	return nil
}

func (c Config) markTags() []string {
	var tags []string
	if c.Owner != "" {
		tags = append(tags, OwnerTag+"="+c.Owner)
	}
	if c.Run != "" {
		tags = append(tags, RunTag+"="+c.Run)
	}
	return tags
}

// marked adds the owner and the run to what a caller wants to write, and wins over it.
func (c Config) marked(metadata map[string]string, tags []string) (map[string]string, []string) {
	all := maps.Clone(metadata)
	if all == nil {
		all = map[string]string{}
	}
	if c.Owner != "" {
		all[OwnerKey] = c.Owner
	}
	if c.Run != "" {
		all[RunKey] = c.Run
	}
	tags = slices.Concat(tags, c.markTags())
	slices.Sort(tags)
	return all, slices.Compact(tags)
}

// checkTag refuses what Nova would, before a server is half made. The rules are in nova/api/validation/parameter_types.py.
func checkTag(tag string) error {
	switch {
	case tag == "":
		return fmt.Errorf("a tag may not be empty")
	case !utf8.ValidString(tag):
		return fmt.Errorf("tag %q is not UTF-8", tag)
	case strings.ContainsAny(tag, "/,"):
		return fmt.Errorf(`tag %q contains "/" or ","`, tag)
	case utf8.RuneCountInString(tag) > maxTag:
		return fmt.Errorf("tag %q is longer than %d characters", tag, maxTag)
	}
	return nil
}
