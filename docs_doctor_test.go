package ottla_test

import (
	"testing"

	"github.com/ottla-io/ottla/internal/doctor"
)

// TestDocsDoctor writes docs/doctor.md from the table of checks.
func TestDocsDoctor(t *testing.T) {
	text, subject := "", doctor.Subject("")
	for _, check := range doctor.Checks() {
		if check.Subject != subject {
			subject = check.Subject
			text += "\n### Of the " + string(subject) + "\n\n" + heading("Check", "Severity", "Found", "Why it matters", "What to do")
		}
		text += row("`"+check.Name+"`", string(check.Severity), check.When, check.Why, check.Do)
	}
	block(t, "docs/doctor.md", "findings", text)
}
