// Package logs holds the commands that look into files without a broker: 'ottla log'.
//
// It owns how internal/inspect's findings are printed. It must never change a file. Package main calls it. Nothing here survives a crash.
package logs
