package activeusers

import (
	"errors"
	"fmt"
	"time"

	"github.com/deskstorm/deskstorm/exporters/activeusers/baseline"
)

// place is a department at a site, numbered.
type place int

// places are all there are. They do not change.
type places struct {
	sites, departments []string // with Other at the end
	zones              []*time.Location
	site, department   map[string]int
}

func newPlaces(sites []Site, departments []string) (*places, error) {
	if len(sites) == 0 || len(departments) == 0 {
		return nil, errors.New("name at least one site and one department")
	}
	if len(sites)*len(departments) > baseline.MaxSeries {
		return nil, fmt.Errorf("more than %d departments at sites: %d x %d", baseline.MaxSeries, len(sites), len(departments))
	}
	p := &places{site: map[string]int{}, department: map[string]int{}}
	for _, s := range sites {
		if s.Name == "" || s.Zone == nil {
			return nil, errors.New("a site has no name or no zone")
		}
		if err := nameIsNew(s.Name, p.sites); err != nil {
			return nil, fmt.Errorf("sites: %w", err)
		}
		p.site[s.Name] = len(p.sites)
		p.sites, p.zones = append(p.sites, s.Name), append(p.zones, s.Zone)
	}
	for _, d := range departments {
		if d == "" {
			return nil, errors.New("a department has no name")
		}
		if err := nameIsNew(d, p.departments); err != nil {
			return nil, fmt.Errorf("departments: %w", err)
		}
		p.department[d] = len(p.departments)
		p.departments = append(p.departments, d)
	}
	p.sites, p.zones = append(p.sites, Other), append(p.zones, time.UTC)
	p.departments = append(p.departments, Other)
	return p, nil
}

func (p *places) count() int { return len(p.sites) * len(p.departments) }

// at is the place of names, of which neither need be known.
func (p *places) at(site, department string) place {
	s, ok := p.site[site]
	if !ok {
		s = len(p.sites) - 1
	}
	d, ok := p.department[department]
	if !ok {
		d = len(p.departments) - 1
	}
	return place(s*len(p.departments) + d)
}

func (p *places) siteOf(at place) int { return int(at) / len(p.departments) }

// labels are a place's names.
func (p *places) labels(at place) (site, department string) {
	return p.sites[p.siteOf(at)], p.departments[int(at)%len(p.departments)]
}

// check says what is wrong with names that must be known: those in files, where others are typing mistakes.
func (p *places) check(site, department string) error {
	if _, ok := p.site[site]; !ok {
		return fmt.Errorf("the site %q is not in the configuration", site)
	}
	if _, ok := p.department[department]; !ok {
		return fmt.Errorf("the department %q is not in the configuration", department)
	}
	return nil
}
