// Command dist makes what is released, from a checkout: for each platform an archive and a list of its parts (SBOM), for Linux also a Debian
// package and the root of a container image, and SHA256SUMS of them all.
//
// The same commit gives the same bytes, wherever and whenever it runs: the binary is built by the toolchain that go.mod names, and all that
// packs it is here, in Go's standard library, and takes times, owners and modes from nobody but the flags. Hence no tar, gzip or dpkg-deb,
// whose bytes differ by version; and no nfpm, GoReleaser or cyclonedx-gomod, each hundreds of modules for what is three hundred lines.
// 'make dist' calls it, and deploy/dist-check.sh proves it.
package main

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// release is what is made.
type release struct {
	source    string // directory of the checkout
	out       string // directory of what is made
	version   string // as 'git describe' says it
	commit    string
	time      time.Time // of the commit: every file has it
	platforms []platform
}

type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "-" + p.arch }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("dist", flag.ContinueOnError)
	var r release
	flags.StringVar(&r.source, "source", ".", "directory of the checkout")
	flags.StringVar(&r.out, "out", "dist", "directory to make it in; emptied before")
	flags.StringVar(&r.version, "version", "", "version, as git describe says it")
	flags.StringVar(&r.commit, "commit", "", "commit")
	epoch := flags.Int64("epoch", 0, "time of the commit in seconds since 1970: SOURCE_DATE_EPOCH")
	platforms := flags.String("platforms", "linux/amd64", "platforms, with commas between them")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if r.version == "" || r.commit == "" || *epoch <= 0 {
		return fmt.Errorf("-version, -commit and -epoch are needed: outside of a git checkout give make VERSION, COMMIT and SOURCE_DATE_EPOCH")
	}
	r.time = time.Unix(*epoch, 0).UTC()
	for name := range strings.SplitSeq(*platforms, ",") {
		system, arch, ok := strings.Cut(name, "/")
		if !ok {
			return fmt.Errorf("platform %q: want OS/ARCH", name)
		}
		r.platforms = append(r.platforms, platform{system, arch})
	}
	return r.make()
}

func (r *release) make() error {
	var err error
	if r.source, err = filepath.Abs(r.source); err != nil {
		return err
	}
	if r.out, err = filepath.Abs(r.out); err != nil {
		return err
	}
	if err := r.empty(); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "ottla-dist")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	own, err := r.build(work, platform{runtime.GOOS, runtime.GOARCH})
	if err != nil {
		return err
	}
	manual, err := askForManual(own, filepath.Join(work, "man1"))
	if err != nil {
		return err
	}
	completions, err := askForCompletions(own)
	if err != nil {
		return err
	}
	for _, p := range r.platforms {
		if err := r.pack(work, p, manual, completions); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return r.sum()
}

// empty removes what an earlier run made, and nothing else. It leaves an empty SHA256SUMS, by which the next run knows the directory.
func (r *release) empty() error {
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(r.out, sumsName)); err != nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty, and holds no %s of an earlier 'make dist': empty it, or give another DIST", r.out, sumsName)
	}
	for _, entry := range entries {
		if err := os.Remove(filepath.Join(r.out, entry.Name())); err != nil {
			return err
		}
	}
	return r.write(sumsName, nil)
}

// pack makes all that there is for one platform.
func (r *release) pack(work string, p platform, manual, completions []file) error {
	binary, err := r.build(work, p)
	if err != nil {
		return err
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	parts, err := r.partsOf(binary, p)
	if err != nil {
		return err
	}
	bill, err := r.billOfMaterials(p, program, parts)
	if err != nil {
		return err
	}
	c := contents{program: program, licences: licencesText(parts), bill: bill, manual: manual, completions: completions}
	base := fmt.Sprintf("ottla-%s-%s", r.version, p)
	if err := r.write(base+".cdx.json", bill); err != nil {
		return err
	}
	archive, err := r.archive(base, p, c)
	if err != nil {
		return err
	}
	if err := r.write(base+".tar.gz", archive); err != nil || p.os != "linux" {
		return err
	}
	root, err := r.imageRoot(c)
	if err != nil {
		return err
	}
	if err := r.write("rootfs-"+p.arch+".tar.gz", root); err != nil {
		return err
	}
	deb, err := r.debianPackage(p.arch, c)
	if err != nil {
		return err
	}
	return r.write(fmt.Sprintf("ottla_%s_%s.deb", debianVersion(r.version, r.time), p.arch), deb)
}

// build returns the path of the binary. Whatever of the caller's environment could change its bytes is set here.
func (r *release) build(work string, p platform) (string, error) {
	path := filepath.Join(work, p.String())
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Fprintln(os.Stderr, "dist: build", p)
	_, err := r.goTool(p, "build", "-trimpath", "-buildvcs=false", "-ldflags",
		fmt.Sprintf("-s -w -X main.release=%s -X main.commit=%s", r.version, r.commit), "-o", path, "./cmd/ottla")
	return path, err
}

// goTool runs the go command for a platform, and returns what it prints.
func (r *release) goTool(p platform, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = r.source
	cmd.Env = append(os.Environ(), "GOOS="+p.os, "GOARCH="+p.arch, "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0",
		"GOWORK=off", "GOFIPS140=off", "GODEBUG=")
	return output(cmd)
}

func output(cmd *exec.Cmd) ([]byte, error) {
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, errors.Bytes())
	}
	return out, nil
}

func askForManual(ottla, dir string) (pages []file, err error) {
	if _, err := output(exec.Command(ottla, "man", dir)); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		pages = append(pages, file{path: entry.Name(), mode: 0o644, data: text})
	}
	return pages, nil
}

func askForCompletions(ottla string) (scripts []file, err error) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		text, err := output(exec.Command(ottla, "completion", shell))
		if err != nil {
			return nil, err
		}
		scripts = append(scripts, file{path: shell, mode: 0o644, data: text})
	}
	return scripts, nil
}

func (r *release) write(name string, data []byte) error {
	return os.WriteFile(filepath.Join(r.out, name), data, 0o644)
}

const sumsName = "SHA256SUMS"

// sum writes SHA256SUMS, as sha256sum -c reads it.
func (r *release) sum() error {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var lines []string
	for _, entry := range entries {
		if entry.Name() == sumsName {
			continue
		}
		data, err := os.ReadFile(filepath.Join(r.out, entry.Name()))
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("%x  %s\n", sha256.Sum256(data), entry.Name()))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[64:], b[64:]) })
	return r.write(sumsName, []byte(strings.Join(lines, "")))
}
