package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/runner/verdict"
)

// The elements of JUnit's XML that Jenkins and GitLab read (Jenkins' xunit-plugin, junit-10.xsd).
type junitSuites struct {
	XMLName xml.Name `xml:"testsuites"`
	Name    string   `xml:"name,attr"`
	junitCounts
	Suites []junitSuite `xml:"testsuite"`
}

type junitCounts struct {
	Tests    int    `xml:"tests,attr"`
	Failures int    `xml:"failures,attr"`
	Errors   int    `xml:"errors,attr"`
	Time     string `xml:"time,attr"`
}

type junitSuite struct {
	Name      string `xml:"name,attr"`
	Timestamp string `xml:"timestamp,attr"` // without a zone, as the schema wants it: UTC
	junitCounts
	Skipped    int             `xml:"skipped,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string     `xml:"classname,attr"`
	Name    string     `xml:"name,attr"`
	Time    string     `xml:"time,attr"`
	Skipped *junitText `xml:"skipped"`
	Error   *junitText `xml:"error"`
	Failure *junitText `xml:"failure"`
	Out     string     `xml:"system-out,omitempty"`
}

type junitText struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// JUnit writes the run as a test suite: a case for the verdict, one an activity of method and rollbacks, one a finding. A deviation
// is a failure; what could not be run or gives no verdict is an error, so that no pipeline takes it for a success; what is
// undecided, and a deviation that does not count, is skipped. Names stay the same from run to run.
func (r Report) JUnit(w io.Writer) error {
	suite := junitSuite{Name: r.Run.Experiment, Timestamp: r.Run.Began.UTC().Format("2006-01-02T15:04:05")}
	suite.Time = seconds(r.Run.Ended.Sub(r.Run.Began))
	for _, p := range [][2]string{{"run", r.Run.ID}, {"outcome", string(r.Verdict.Outcome)}, {"trigger", r.Run.Trigger}} {
		suite.Properties = append(suite.Properties, junitProperty{p[0], p[1]})
	}
	for _, v := range r.versions() {
		suite.Properties = append(suite.Properties, junitProperty{"version." + v.Name, v.Version})
	}

	names := map[string]int{}
	add := func(class, name string, c junitCase) {
		c.Class, c.Name = r.Run.Experiment+"."+class, name
		if c.Time == "" {
			c.Time = seconds(0)
		}
		names[class+"\x00"+name]++
		if n := names[class+"\x00"+name]; n > 1 { // GitLab takes cases of one name for one
			c.Name = fmt.Sprintf("%s (%d)", name, n)
		}
		suite.Cases = append(suite.Cases, c)
	}
	add("verdict", "verdict", r.verdictCase())
	for _, a := range r.activities() {
		if !strings.HasPrefix(a.Phase, "hypothesis") { // which the findings have
			add(a.Phase, a.Name, activityCase(a))
		}
	}
	for _, f := range r.Verdict.Findings {
		name := f.Name
		if p := place(f); p != "" && !strings.HasSuffix(name, p) {
			name += " [" + p + "]"
		}
		add(string(f.Check), name, r.findingCase(f))
	}
	for _, c := range suite.Cases {
		suite.Tests++
		switch {
		case c.Error != nil:
			suite.Errors++
		case c.Failure != nil:
			suite.Failures++
		case c.Skipped != nil:
			suite.Skipped++
		}
	}
	all := junitSuites{Name: "deskstorm", junitCounts: suite.junitCounts, Suites: []junitSuite{suite}}
	text, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the run %s as JUnit XML: %w", r.Run.ID, err)
	}
	if _, err := fmt.Fprintf(w, "%s%s\n", xml.Header, text); err != nil {
		return fmt.Errorf("writing the run %s as JUnit XML: %w", r.Run.ID, err)
	}
	return nil
}

func (r Report) verdictCase() (c junitCase) {
	c.Time = seconds(r.Run.Ended.Sub(r.Run.Began))
	text := &junitText{Message: r.Verdict.Reason, Type: string(r.Verdict.Outcome)}
	switch r.Verdict.Outcome {
	case verdict.Passed:
		c.Out = r.Verdict.Reason
	case verdict.Deviated:
		c.Failure = text
	default:
		c.Error = text
	}
	return c
}

func activityCase(a activity) junitCase {
	c := junitCase{Time: seconds(a.Took)}
	text := &junitText{Message: a.state(), Type: a.Phase, Text: a.Error}
	switch {
	case a.Failed == 0:
	case a.Phase == "method" && a.Kind == "probe":
		c.Skipped = text // it may fail because of the very fault
	default:
		c.Error = text
	}
	return c
}

func (r Report) findingCase(f verdict.Finding) (c junitCase) {
	text := &junitText{Message: f.Text, Type: string(f.Check)}
	counts := r.Verdict.Outcome == verdict.Deviated
	switch {
	case f.Result == verdict.Good || f.Result == verdict.Noted:
		c.Out = f.Text
	case f.Result == verdict.Bad && counts:
		c.Failure = text
	case f.Result == verdict.Bad:
		text.Message = "does not count: " + text.Message
		c.Skipped = text
	case f.Result == verdict.Undecided:
		c.Skipped = text
	default:
		c.Error = text
	}
	return c
}

// seconds is a duration as the schema's decimal.
func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", max(d, 0).Seconds()) }
