// Package groups holds the commands about groups of consumers: 'ottla group'.
//
// It owns what is shown of groups, their members and lags, and how their offsets are moved, moved back and forgotten. Its members' own reading belongs
// to package records. It must never move offsets without --yes, nor those of a group with members. Package main calls it. Nothing here survives a
// crash: which resets can be undone, the broker remembers.
package groups
