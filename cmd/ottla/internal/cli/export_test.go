package cli

import "io"

// NewYAMLWriter is what -o yaml prints through.
func NewYAMLWriter(to io.Writer) io.Writer { return &yamlWriter{to: to} }
