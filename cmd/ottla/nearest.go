package main

import "github.com/ottla-io/ottla/internal/config"

// nearest names the candidate that a mistyped name was probably meant to be.
func nearest(name string, candidates []string) (string, bool) {
	near := config.NearestOf(name, candidates)
	return near, near != ""
}
