//go:build race

package ottla_test

const raceEnabled = true
