// Package arch holds the house rules of the design (§3 and the habits) against the source, as tests. It has no code that ships.
//
// It reads every Go file of the module (not of nested modules) and knows nothing of what the code does. A rule that
// needs an exception says it in a table here, with the reason.
package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

const module = "github.com/ottla-io/ottla"

// source is one parsed file.
type source struct {
	room      string // directory below the module without "internal/": "storage", "cmd/ottla", "" for the root
	path      string
	lines     int
	isTest    bool
	generated bool
	tree      *ast.File
	positions *token.FileSet
}

// load parses all Go files below root.
func load(root fs.FS) ([]*source, error) {
	var sources []*source
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name == "." {
				return nil
			}
			base := path.Base(name)
			if _, err := fs.Stat(root, name+"/go.mod"); err == nil || base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		s, err := parse(name, text)
		if err != nil {
			return err
		}
		sources = append(sources, s)
		return nil
	})
	return sources, err
}

func parse(name string, text []byte) (*source, error) {
	positions := token.NewFileSet()
	tree, err := parser.ParseFile(positions, name, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	room := strings.TrimPrefix(path.Dir(name), "internal/")
	if room == "." {
		room = ""
	}
	return &source{
		room: room, path: name, tree: tree, positions: positions,
		lines:     strings.Count(string(text), "\n"),
		isTest:    strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(tree),
	}, nil
}

// at describes a breach of a rule.
func (s *source) at(node ast.Node, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", s.path, s.positions.Position(node.Pos()).Line, fmt.Sprintf(format, args...))
}

// linesOf is how many lines a node takes.
func (s *source) linesOf(node ast.Node) int {
	return s.positions.Position(node.End()).Line - s.positions.Position(node.Pos()).Line + 1
}

// imports lists the paths that the file imports.
func (s *source) imports() map[string]*ast.ImportSpec {
	found := make(map[string]*ast.ImportSpec)
	for _, spec := range s.tree.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			found[p] = spec
		}
	}
	return found
}

// uses calls fn for each NAME of an imported package that the file mentions.
func (s *source) uses(fn func(node *ast.SelectorExpr, importPath, name string)) {
	local := make(map[string]string)
	for p, spec := range s.imports() {
		name := path.Base(p)
		if strings.HasPrefix(name, "v") && len(name) == 2 {
			name = path.Base(path.Dir(p)) // math/rand/v2
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		local[name] = p
	}
	ast.Inspect(s.tree, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		// The parser resolves names of the file's own scopes; a package's name it leaves unresolved.
		if ident, ok := selector.X.(*ast.Ident); ok && ident.Obj == nil {
			if p, ok := local[ident.Name]; ok {
				fn(selector, p, selector.Sel.Name)
			}
		}
		return true
	})
}

// isProgram reports whether the file belongs to a package main: that of a program, which may end its process.
func (s *source) isProgram() bool {
	return s.tree.Name.Name == "main"
}

// isCommand reports whether the file belongs to a room of commands of a program.
func (s *source) isCommand() bool {
	return strings.HasPrefix(s.room, "cmd/")
}
