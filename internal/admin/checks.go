package admin

import (
	"encoding/json"
	"net/http"
)

// Check is one thing that must be so. Run returns why it is not, for the operator, or nil.
type Check struct {
	Name string
	Run  func() error
}

// checkReport is the JSON of /healthz and /readyz.
type checkReport struct {
	OK     bool          `json:"ok"`
	Checks []checkResult `json:"checks"`
}

type checkResult struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

func answerChecks(checks []Check) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		report := checkReport{OK: true, Checks: make([]checkResult, 0, len(checks))}
		for _, check := range checks {
			result := checkResult{Name: check.Name, OK: true}
			if err := check.Run(); err != nil {
				result.OK, result.Reason = false, err.Error()
				report.OK = false
			}
			report.Checks = append(report.Checks, result)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if !report.OK {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		// An error means that the client has gone.
		_ = json.NewEncoder(w).Encode(report)
	}
}
