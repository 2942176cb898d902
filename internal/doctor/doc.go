// Package doctor judges whether a broker, its machine and its data directories are in order: facts in, findings out. 'ottla doctor'
// (cmd/ottla/internal/checkup) gathers the facts and prints the findings.
//
// It is pure: it reads no file, opens no connection, tells no time; what is not known is left at the zero value that a field's comment names,
// and a check says nothing about what is not known. Nothing here survives a crash.
//
// Each check is one row of the table that Checks returns. docs/doctor.md is written from it.
package doctor
