package main

import (
	"bytes"
	"crypto/md5" //nolint:gosec // dpkg's own format
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"
)

// debianVersion makes of what git describe says a version that dpkg orders rightly: a release candidate (v1.2.0-rc.1) before its release,
// commits after a tag (v1.2.0-5-gabc) after it, and those of a checkout without tags by their time, before everything.
func debianVersion(described string, at time.Time) string {
	described, dirty := strings.CutSuffix(described, "-dirty")
	suffix := ""
	if dirty {
		suffix = "+dirty"
	}
	if m := regexp.MustCompile(`^(.*)-(\d+-g[0-9a-f]+)$`).FindStringSubmatch(described); m != nil {
		described, suffix = m[1], "+"+m[2]+suffix
	}
	tag := regexp.MustCompile(`^v?(\d+\.\d+.*)$`).FindStringSubmatch(described)
	if tag == nil {
		return "0.0.0~git" + at.Format("20060102150405") + "." + plain(described) + plain(suffix)
	}
	number, candidate, ok := strings.Cut(tag[1], "-")
	if ok {
		number += "~" + candidate
	}
	return plain(number + suffix)
}

// plain leaves what may stand in a version without a revision of Debian's.
func plain(text string) string {
	return regexp.MustCompile(`[^0-9A-Za-z.+~]`).ReplaceAllString(text, ".")
}

// debianPackage is a .deb (deb(5)): an ar archive of the format's version, what dpkg needs, and what it unpacks.
func (r *release) debianPackage(arch string, c contents) ([]byte, error) {
	files, err := r.debianFiles(c)
	if err != nil {
		return nil, err
	}
	data, err := tarball(files, "./", r.time)
	if err != nil {
		return nil, err
	}
	control, err := r.debianControl(arch, files)
	if err != nil {
		return nil, err
	}
	var deb bytes.Buffer
	deb.WriteString("!<arch>\n")
	for _, member := range []file{{path: "debian-binary", data: []byte("2.0\n")}, {path: "control.tar.gz", data: control}, {path: "data.tar.gz", data: data}} {
		fmt.Fprintf(&deb, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", member.path, r.time.Unix(), 0, 0, 0o100644, len(member.data))
		deb.Write(member.data)
		if len(member.data)%2 == 1 {
			deb.WriteByte('\n')
		}
	}
	return deb.Bytes(), nil
}

// debianFiles are what the package installs.
func (r *release) debianFiles(c contents) ([]file, error) {
	changes, err := gzipped(fmt.Appendf(nil, "ottla (%s) unstable; urgency=medium\n\n  * Commit %s.\n\n -- Ottla contributors <noreply@ottla.invalid>  %s\n",
		debianVersion(r.version, r.time), r.commit, r.time.Format(time.RFC1123Z)))
	if err != nil {
		return nil, err
	}
	const documents = "usr/share/doc/ottla/"
	files := []file{
		{path: "usr/bin/ottla", mode: 0o755, data: c.program},
		{path: documents + "copyright", mode: 0o644, data: []byte(debianCopyright)},
		{path: documents + "LICENSES-OF-PARTS", mode: 0o644, data: c.licences},
		{path: documents + "changelog.gz", mode: 0o644, data: changes},
		{path: documents + "sbom.cdx.json", mode: 0o644, data: c.bill},
	}
	for _, from := range [][2]string{{"README.md", documents + "README.md"}, {"deploy/ottla.yaml", "etc/ottla/ottla.yaml"},
		{"deploy/debian/lintian-overrides", "usr/share/lintian/overrides/ottla"},
		{"deploy/systemd/ottla.service", "usr/lib/systemd/system/ottla.service"}} {
		f, err := r.read(from[0], from[1])
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	for _, page := range c.manual {
		page.path = "usr/share/man/man1/" + page.path + ".gz"
		if page.data, err = gzipped(page.data); err != nil {
			return nil, err
		}
		files = append(files, page)
	}
	places := map[string]string{"bash": "bash-completion/completions/ottla", "zsh": "zsh/vendor-completions/_ottla", "fish": "fish/vendor_completions.d/ottla.fish"}
	for _, script := range c.completions {
		script.path = "usr/share/" + places[script.path]
		files = append(files, script)
	}
	return files, nil
}

// debianCopyright leaves out the text of the licence, which every Debian has.
const debianCopyright = `Ottla, from https://github.com/ottla-io/ottla
Copyright 2026 the contributors of Ottla
License: Apache-2.0, whose text is in /usr/share/common-licenses/Apache-2.0

The modules that are linked into it have licences of their own, which follow in LICENSES-OF-PARTS.
`

// debianControl packs the fields, the scripts, the sums that dpkg --verify looks at, and the list of files that are the administrator's.
func (r *release) debianControl(arch string, files []file) ([]byte, error) {
	fields, err := r.read("deploy/debian/control", "control")
	if err != nil {
		return nil, err
	}
	var sums, owned bytes.Buffer
	kilobytes := 0
	for _, f := range files {
		kilobytes += (len(f.data) + 1023) / 1024
		if strings.HasPrefix(f.path, "etc/") {
			fmt.Fprintf(&owned, "/%s\n", f.path)
		} else {
			fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(f.data), f.path) //nolint:gosec // dpkg's own format
		}
	}
	fields.data = bytes.Replace(fields.data, []byte("Section:"),
		fmt.Appendf(nil, "Version: %s\nArchitecture: %s\nInstalled-Size: %d\nSection:", debianVersion(r.version, r.time), arch, kilobytes), 1)
	all := []file{fields, {path: "md5sums", mode: 0o644, data: sums.Bytes()}, {path: "conffiles", mode: 0o644, data: owned.Bytes()}}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		f, err := r.read(path.Join("deploy/debian", script), script)
		if err != nil {
			return nil, err
		}
		f.mode = 0o755
		all = append(all, f)
	}
	return tarball(all, "./", r.time)
}
