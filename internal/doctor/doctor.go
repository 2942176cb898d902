package doctor

import (
	"cmp"
	"fmt"
	"slices"
)

// Severity says how bad a finding is.
type Severity string

// Error is wrong now: data, or the service, is in danger. Warning may go wrong. Note is good to know.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// rank orders severities, the worst first.
func (s Severity) rank() int { return slices.Index([]Severity{Error, Warning, Note}, s) }

// Subject is what a check looks at. A check is left out where it was not looked at.
type Subject string

// The subjects, in the order in which docs list them.
const (
	OfDisk    Subject = "data directory"
	OfMachine Subject = "machine"
	OfBroker  Subject = "running broker"
	OfAdmin   Subject = "admin port"
	OfContact Subject = "contact"
)

// Check is one thing that can be found.
type Check struct {
	Name     string
	Subject  Subject
	Severity Severity
	When     string // what is found, in general
	Why      string // why that matters
	Do       string // what to do about it
	look     func(*Facts) []string
}

// Finding is something that a check found.
type Finding struct {
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	What     string   `json:"what"`
	Why      string   `json:"why"`
	Do       string   `json:"do"`
}

// LeftOut is a subject that could not be looked at.
type LeftOut struct {
	Subject Subject `json:"subject"`
	Checks  int     `json:"checks"`
	Because string  `json:"because"`
}

// Report is the outcome of all checks.
type Report struct {
	Findings []Finding `json:"findings"` // the worst first
	Checked  int       `json:"checked"`  // checks that were made
	LeftOut  []LeftOut `json:"leftOut"`
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`
	Notes    int       `json:"notes"`
}

// Checks is the table of all checks, by subject.
func Checks() []Check {
	return slices.Concat(diskChecks, machineChecks, contactChecks, brokerChecks, adminChecks)
}

// Examine makes all checks whose subject the facts know.
func Examine(facts *Facts) Report {
	report := Report{Findings: []Finding{}, LeftOut: []LeftOut{}}
	for _, check := range Checks() {
		if because := facts.lacks(check.Subject); because != "" {
			report.leaveOut(check.Subject, because)
			continue
		}
		report.Checked++
		for _, what := range check.look(facts) {
			report.Findings = append(report.Findings, Finding{check.Name, check.Severity, what, check.Why, check.Do})
			switch check.Severity {
			case Error:
				report.Errors++
			case Warning:
				report.Warnings++
			default:
				report.Notes++
			}
		}
	}
	slices.SortStableFunc(report.Findings, func(a, b Finding) int { return cmp.Compare(a.Severity.rank(), b.Severity.rank()) })
	return report
}

func (r *Report) leaveOut(subject Subject, because string) {
	if n := len(r.LeftOut); n > 0 && r.LeftOut[n-1].Subject == subject {
		r.LeftOut[n-1].Checks++
		return
	}
	r.LeftOut = append(r.LeftOut, LeftOut{subject, 1, because})
}

// lacks says why a subject could not be looked at; "" if it could.
func (f *Facts) lacks(subject Subject) string {
	switch {
	case subject == OfDisk && len(f.Directories) == 0:
		return "no data directory is known here: name it with --data DIR"
	case subject == OfBroker && f.Broker == nil:
		return "no broker was asked"
	case subject == OfBroker && f.Broker.Err != "":
		return fmt.Sprintf("no broker answers at %s", f.Broker.Addr)
	case subject == OfAdmin && f.Admin == nil:
		return "no admin port was asked: name it with --admin HOST:PORT"
	case subject == OfAdmin && f.Admin.Err != "":
		return fmt.Sprintf("nothing of Ottla's answers at %s", f.Admin.Addr)
	}
	return ""
}

// size writes bytes for people.
func size[T int64 | uint64 | float64](bytes T) string {
	switch b := float64(bytes); {
	case b >= 1e12:
		return fmt.Sprintf("%.1f TB", b/1e12)
	case b >= 1e9:
		return fmt.Sprintf("%.1f GB", b/1e9)
	case b >= 1e6:
		return fmt.Sprintf("%.1f MB", b/1e6)
	case b >= 1e3:
		return fmt.Sprintf("%.1f kB", b/1e3)
	default:
		return fmt.Sprintf("%.0f B", b)
	}
}
