package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var commitTime = time.Unix(1_790_000_000, 0).UTC()

// TestDebianVersion: dpkg orders the versions as they came.
func TestDebianVersion(t *testing.T) {
	ascending := []struct{ described, want string }{
		{"b1c836e66aad", "0.0.0~git20260921141320.b1c836e66aad"},
		{"b1c836e66aad-dirty", "0.0.0~git20260921141320.b1c836e66aad+dirty"},
		{"v0.9.0", "0.9.0"},
		{"v1.2.0-rc.1", "1.2.0~rc.1"},
		{"v1.2.0-rc.1-3-gabc", "1.2.0~rc.1+3.gabc"},
		{"v1.2.0", "1.2.0"},
		{"v1.2.0-5-g0123456789ab", "1.2.0+5.g0123456789ab"},
		{"v1.2.0-15-g0123456789ab-dirty", "1.2.0+15.g0123456789ab+dirty"},
		{"v1.10.0", "1.10.0"},
	}
	dpkg, err := exec.LookPath("dpkg")
	for i, v := range ascending {
		if got := debianVersion(v.described, commitTime); got != v.want {
			t.Errorf("%s: %s, want %s", v.described, got, v.want)
		}
		if err != nil || i == 0 {
			continue // not a Debian
		}
		if out, err := exec.Command(dpkg, "--compare-versions", ascending[i-1].want, "lt", v.want).CombinedOutput(); err != nil {
			t.Errorf("dpkg does not take %s for newer than %s: %v %s", v.want, ascending[i-1].want, err, out)
		}
	}
}

// TestTarball: the order of files does not matter, directories are there once, and nothing but the given time and owners is in it.
func TestTarball(t *testing.T) {
	files := []file{{path: "b/c/d", mode: 0o644, data: []byte("x")}, {path: "a", mode: 0o755, data: []byte("y")}, {path: "b/e/", mode: 0o750, uid: 7}}
	first, err := tarball(files, "./", commitTime)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(files)
	second, err := tarball(files, "./", commitTime)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("in another order: other bytes, %v", err)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(unzipped); ; {
		header, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
		owner, mode := 0, int64(0o755)
		switch header.Name {
		case "./b/e/":
			owner, mode = 7, 0o750
		case "./b/c/d":
			mode = 0o644
		}
		if header.Uid != owner || header.Gid != owner || header.Mode != mode || !header.ModTime.Equal(commitTime) {
			t.Errorf("%s: %+v", header.Name, header)
		}
	}
	if got := strings.Join(names, " "); got != "./a ./b/ ./b/c/ ./b/c/d ./b/e/" {
		t.Errorf("packed %s", got)
	}
	if _, err := tarball(append(files, files[0]), "", commitTime); err == nil {
		t.Error("a file was packed twice")
	}
}

func TestLicences(t *testing.T) {
	for text, want := range map[string]string{
		"Apache License\n  Version 2.0": "Apache-2.0",
		"Redistributions in binary\nform must reproduce … may be used to endorse or promote\n products": "BSD-3-Clause",
		"Redistributions in binary form must reproduce":                                                 "BSD-2-Clause",
		"Permission is hereby granted, free of charge … Apache License":                                 "Apache-2.0 MIT",
		"All rights reserved.": "",
	} {
		if got := strings.Join(licencesIn(text), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestUnknownLicence: a module whose licence nobody has looked at is not shipped.
func TestUnknownLicence(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "LICENSE"), []byte("All rights reserved."), 0o600); err != nil {
		t.Fatal(err)
	}
	p := part{path: "example.org/m"}
	if err := p.readLicence(dir); err == nil || !strings.Contains(err.Error(), "example.org/m") {
		t.Errorf("%v", err)
	}
}

// TestOtherDirectory: what dist did not make is not removed.
func TestOtherDirectory(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := release{out: dir}
	if err := r.empty(); err == nil {
		t.Error("it was emptied")
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
	r.out = filepath.Join(dir, "new")
	for range 2 { // the second time it is there
		if err := r.empty(); err != nil {
			t.Error(err)
		}
		if err := r.write("part", nil); err != nil {
			t.Fatal(err)
		}
	}
}
