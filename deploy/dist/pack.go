package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// contents are what a platform's packages are made of.
type contents struct {
	program     []byte
	licences    []byte // of all that is in program
	bill        []byte // of materials, CycloneDX
	manual      []file // ottla.1, …
	completions []file // bash, zsh, fish
}

// file is a file or, if its path ends in a slash, a directory of an archive.
type file struct {
	path string // slashes, no leading one
	mode int64
	data []byte
	uid  int // of the owner and of its group; 0 is root
}

// tarball packs files in the order of their paths, and the directories above them, all of one time.
func tarball(files []file, prefix string, at time.Time) ([]byte, error) {
	all := map[string]file{}
	for _, f := range files {
		if _, twice := all[f.path]; twice {
			return nil, fmt.Errorf("%s is packed twice", f.path)
		}
		all[f.path] = f
	}
	for _, f := range files {
		for dir := path.Dir(strings.TrimSuffix(f.path, "/")); dir != "."; dir = path.Dir(dir) {
			if _, ok := all[dir+"/"]; !ok {
				all[dir+"/"] = file{path: dir + "/", mode: 0o755}
			}
		}
	}
	paths := make([]string, 0, len(all))
	for p := range all {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, p := range paths {
		f := all[p]
		header := tar.Header{Typeflag: tar.TypeReg, Name: prefix + f.path, Mode: f.mode, Size: int64(len(f.data)), ModTime: at, Uid: f.uid, Gid: f.uid, Format: tar.FormatGNU}
		if strings.HasSuffix(p, "/") {
			header.Typeflag = tar.TypeDir
		}
		if f.uid == 0 {
			header.Uname, header.Gname = "root", "root"
		}
		if err := w.WriteHeader(&header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return gzipped(out.Bytes())
}

// gzipped has neither name nor time in its header.
func gzipped(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// read takes a file of the checkout into an archive, at path to.
func (r *release) read(from, to string) (file, error) {
	data, err := os.ReadFile(filepath.Join(r.source, from))
	return file{path: to, mode: 0o644, data: data}, err
}

// archive is what one unpacks anywhere: all in one directory.
func (r *release) archive(base string, p platform, c contents) ([]byte, error) {
	files := []file{
		{path: base + "/ottla", mode: 0o755, data: c.program},
		{path: base + "/LICENSES-OF-PARTS", mode: 0o644, data: c.licences},
		{path: base + "/sbom.cdx.json", mode: 0o644, data: c.bill},
	}
	names := []string{"LICENSE", "README.md", "deploy/ottla.yaml"}
	if p.os == "linux" {
		names = append(names, "deploy/systemd/ottla.service")
	}
	for _, name := range names {
		f, err := r.read(name, base+"/"+path.Base(name))
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	for _, page := range c.manual {
		page.path = base + "/man1/" + page.path
		files = append(files, page)
	}
	for _, script := range c.completions {
		script.path = base + "/completions/ottla." + script.path
		files = append(files, script)
	}
	return tarball(files, "", r.time)
}

// imageUser is the uid and gid of the broker in a container: deploy/Containerfile says so, too.
const imageUser = 65532

// imageRoot is the root directory of a container image: the binary, its licences, and an empty data directory of its user.
func (r *release) imageRoot(c contents) ([]byte, error) {
	licence, err := r.read("LICENSE", "usr/share/doc/ottla/LICENSE")
	if err != nil {
		return nil, err
	}
	user := fmt.Sprintf("root:x:0:0:root:/:/sbin/nologin\nottla:x:%d:%d:Ottla:/var/lib/ottla:/sbin/nologin\n", imageUser, imageUser)
	return tarball([]file{
		licence,
		{path: "etc/passwd", mode: 0o644, data: []byte(user)},
		{path: "etc/group", mode: 0o644, data: fmt.Appendf(nil, "root:x:0:\nottla:x:%d:\n", imageUser)},
		{path: "usr/bin/ottla", mode: 0o755, data: c.program},
		{path: "usr/share/doc/ottla/LICENSES-OF-PARTS", mode: 0o644, data: c.licences},
		{path: "usr/share/doc/ottla/sbom.cdx.json", mode: 0o644, data: c.bill},
		{path: "tmp/", mode: 0o1777},
		{path: "var/lib/ottla/", mode: 0o750, uid: imageUser},
	}, "", r.time)
}
