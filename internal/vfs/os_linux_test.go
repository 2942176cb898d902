package vfs

import "testing"

func TestReleaseAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"6.18.44-fc\x00\x00": true, "5.8.0": true, "5.10-rc1": true, "10.0": true,
		"5.7.19": false, "4.19.0": false, "5": false, "": false, "x.y": false,
	} {
		if got := releaseAtLeast([]byte(release), 5, 8); got != want {
			t.Errorf("%q: %v, want %v", release, got, want)
		}
	}
}
