// Package top is what 'ottla top' knows and shows: observations of a cluster in, rates and lags, tables and the lines of a screen out.
//
// It is pure: it asks no broker, reads no key and writes no terminal ('ottla top' does), and takes time as an argument. What it is told
// may come from any broker and any client: text that is shown is made harmless first. Nothing here survives a crash.
package top
