package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// part is a module that is linked into the binary; the first is Go's own library.
type part struct {
	path, version string
	sum           string // as go.sum has it; empty for Go's library
	licences      []string
	text          []byte // of its licence and notice
}

// partsOf reads from the binary itself what is in it.
func (r *release) partsOf(binary string, p platform) ([]part, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	root, err := r.goTool(p, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	parts := []part{{path: "std", version: strings.TrimPrefix(info.GoVersion, "go")}}
	dirs := []string{strings.TrimSpace(string(root))}
	for _, module := range info.Deps {
		if module.Replace != nil {
			return nil, fmt.Errorf("module %s is replaced: what is released is built from what go.mod requires", module.Path)
		}
		out, err := r.goTool(p, "list", "-m", "-f", "{{.Dir}}", module.Path)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{path: module.Path, version: module.Version, sum: module.Sum})
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for i := range parts {
		if err := parts[i].readLicence(dirs[i]); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// readLicence takes the licence and the notice of a module. Both must go with a binary that has the module in it.
func (p *part) readLicence(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		switch strings.ToUpper(strings.TrimSuffix(strings.TrimSuffix(entry.Name(), ".md"), ".txt")) {
		case "LICENSE", "LICENCE", "NOTICE", "COPYING", "PATENTS":
		default:
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return err
		}
		p.text = append(append(p.text, bytes.TrimSpace(text)...), "\n\n"...)
	}
	p.licences = licencesIn(string(p.text))
	if len(p.licences) == 0 {
		return fmt.Errorf("module %s: no licence that is known is in %s; look at it, and extend licenceMarks if it may be shipped", p.path, dir)
	}
	return nil
}

// licenceMarks are sentences by which licences are known, by their SPDX names. BSD-3-Clause is BSD-2-Clause with one more condition.
var licenceMarks = []struct{ id, mark string }{
	{"Apache-2.0", "Apache License"},
	{"BSD-3-Clause", "may be used to endorse or promote products"},
	{"BSD-2-Clause", "Redistributions in binary form must reproduce"},
	{"MIT", "Permission is hereby granted, free of charge"},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software"},
	{"MPL-2.0", "Mozilla Public License Version 2.0"},
}

// licencesIn names the licences that a text holds.
func licencesIn(text string) (ids []string) {
	text = strings.Join(strings.Fields(text), " ")
	for _, licence := range licenceMarks {
		if strings.Contains(text, licence.mark) && (licence.id != "BSD-2-Clause" || !slices.Contains(ids, "BSD-3-Clause")) {
			ids = append(ids, licence.id)
		}
	}
	return ids
}

func licencesText(parts []part) []byte {
	var text bytes.Buffer
	text.WriteString("Ottla is licensed under Apache-2.0: see LICENSE. These modules are linked into it; their licences and notices follow.\n\n")
	for _, p := range parts {
		fmt.Fprintf(&text, "%s\n%s %s (%s)\n%[1]s\n\n%[5]s", strings.Repeat("=", 80), p.path, p.version, strings.Join(p.licences, ", "), p.text)
	}
	return text.Bytes()
}

// What of CycloneDX 1.6 the bill uses.
type (
	billOfMaterials struct {
		Format       string       `json:"bomFormat"`
		Spec         string       `json:"specVersion"`
		Serial       string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     billMetadata `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	billMetadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Ref        string          `json:"bom-ref"`
		Type       string          `json:"type"`
		Name       string          `json:"name"`
		Version    string          `json:"version"`
		Hashes     []hash          `json:"hashes,omitempty"`
		Licences   []licenceChoice `json:"licenses"`
		PURL       string          `json:"purl"`
		Properties []property      `json:"properties,omitempty"`
	}
	hash struct {
		Alg     string `json:"alg"`
		Content string `json:"content"`
	}
	licenceChoice struct {
		Licence licenceID `json:"license"`
	}
	licenceID struct {
		ID string `json:"id"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
)

// billOfMaterials lists what is in the program, as CycloneDX. Its serial number follows from the program's bytes. A module's hash is that of
// go.sum: the SHA-256 of a list of its files' (golang.org/x/mod/sumdb/dirhash), as cyclonedx-gomod has it.
func (r *release) billOfMaterials(p platform, program []byte, parts []part) ([]byte, error) {
	sum := sha256.Sum256(program)
	main := component{
		Ref: "ottla", Type: "application", Name: "ottla", Version: r.version,
		Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}, Licences: []licenceChoice{{licenceID{"Apache-2.0"}}},
		PURL:       "pkg:golang/github.com/ottla-io/ottla@" + r.version + "?goarch=" + p.arch + "&goos=" + p.os + "#cmd/ottla",
		Properties: []property{{"ottla:commit", r.commit}},
	}
	uses := dependency{Ref: main.Ref}
	bill := billOfMaterials{
		Format: "CycloneDX", Spec: "1.6", Serial: "urn:uuid:" + uuidOf(sum), Version: 1,
		Metadata: billMetadata{Timestamp: r.time.Format(time.RFC3339), Component: main},
	}
	for _, part := range parts {
		purl := "pkg:golang/" + part.path + "@" + part.version
		c := component{Ref: purl, Type: "library", Name: part.path, Version: part.version, PURL: purl}
		if encoded, ok := strings.CutPrefix(part.sum, "h1:"); ok {
			tree, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				return nil, fmt.Errorf("hash of %s: %w", part.path, err)
			}
			c.Hashes = []hash{{"SHA-256", hex.EncodeToString(tree)}}
		}
		for _, id := range part.licences {
			c.Licences = append(c.Licences, licenceChoice{licenceID{id}})
		}
		bill.Components = append(bill.Components, c)
		uses.DependsOn = append(uses.DependsOn, purl)
	}
	bill.Dependencies = []dependency{uses}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(bill)
	return text.Bytes(), err
}

// uuidOf is the UUID of version 8 (RFC 9562) that a hash begins with.
func uuidOf(sum [32]byte) string {
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
