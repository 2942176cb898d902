package ottla_test

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ottla-io/ottla/internal/config"
)

var (
	// testReference is FILE_test.go:TestName.
	testReference = regexp.MustCompile("`([\\w/]+_test\\.go):(\\w+)`")
	// codeReference is package.Name or package.Type.Name.
	codeReference = regexp.MustCompile("`([a-z]+)\\.([A-Za-z]\\w*)(?:\\.(\\w+))?`")
	// localLink is a Markdown link to a file of this repository.
	localLink   = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	makeCommand = regexp.MustCompile(`\bmake ([a-z]+)\b`)
)

// notCode are names of Kafka's, and of files, that look like one of ours.
var notCode = map[string]bool{"metadata.version": true, "group.version": true, "partition.metadata": true, "server.properties": true, "ottla.manifest": true, "ottla.reserve": true,
	"ottla.largest-timestamps": true, "ottla.trash": true,
	"ottla.yaml": true, "ottla.service": true, "ottla.zsh": true, "ottla.fish": true}

// TestDocsReferences: every test, function, type, file and make target that a document names is there.
func TestDocsReferences(t *testing.T) {
	names, tests := declared(t)
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	texts := documents(t)
	for _, path := range sortedKeys(texts) {
		text := texts[path]
		for _, m := range testReference.FindAllStringSubmatch(text, -1) {
			if !tests[m[1]+":"+m[2]] {
				t.Errorf("%s names %s in %s, which is not there", path, m[2], m[1])
			}
		}
		for _, m := range codeReference.FindAllStringSubmatch(text, -1) {
			whole := strings.Trim(m[0], "`")
			_, onTopics := config.Lookup(config.Topic, whole)
			_, onBroker := config.Lookup(config.Broker, whole)
			if names[m[1]] && !names[whole] && !notCode[whole] && !onTopics && !onBroker {
				t.Errorf("%s names %s, which is not there", path, whole)
			}
		}
		for _, m := range localLink.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", path, m[1], err)
			}
		}
		for _, m := range makeCommand.FindAllStringSubmatch(stripProse(text), -1) {
			if !strings.Contains(string(makefile), "\n"+m[1]+":") {
				t.Errorf("%s says make %s, and the Makefile has no such target", path, m[1])
			}
		}
	}
}

// stripProse leaves what stands between backticks, single or fenced.
func stripProse(text string) string {
	var code []string
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			code = append(code, part)
		}
	}
	return strings.Join(code, "\n")
}

// TestDocsRooms: ARCHITECTURE.md has a line for every package, and none for what is not there.
func TestDocsRooms(t *testing.T) {
	text := documents(t)["ARCHITECTURE.md"]
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([\\w/]+)/` \\|").FindAllStringSubmatch(text, -1) {
		listed[m[1]] = true
	}
	there := map[string]bool{}
	eachGoFile(t, func(path string, _ *ast.File) {
		if dir := filepath.ToSlash(filepath.Dir(path)); dir != "." && !strings.HasPrefix(dir, "test/") && !strings.HasSuffix(path, "_test.go") {
			there[strings.TrimPrefix(dir, "internal/")] = true
		}
	})
	for _, room := range sortedKeys(there) {
		if !listed[room] {
			t.Errorf("ARCHITECTURE.md has no line for %s", room)
		}
	}
	for _, room := range sortedKeys(listed) {
		if !there[room] {
			t.Errorf("ARCHITECTURE.md has a line for %s, which is not there", room)
		}
	}
}

// declared are the packages, and the names of their functions, types, methods and fields; and the tests as FILE:NAME.
func declared(t *testing.T) (names, tests map[string]bool) {
	names, tests = map[string]bool{}, map[string]bool{}
	eachGoFile(t, func(path string, file *ast.File) {
		room := file.Name.Name
		if strings.HasSuffix(path, "_test.go") {
			for _, decl := range file.Decls {
				if fn, ok := decl.(*ast.FuncDecl); ok {
					tests[filepath.ToSlash(path)+":"+fn.Name.Name] = true
				}
			}
			return
		}
		names[room] = true
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				names[room+"."+receiver(decl)+decl.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					declare(names, room, spec)
				}
			}
		}
	})
	return names, tests
}

// receiver is "Type." of a method, "" of a function.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	typ := fn.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.Ident:
			return x.Name + "."
		default:
			return ""
		}
	}
}

func declare(names map[string]bool, room string, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			names[room+"."+name.Name] = true
		}
	case *ast.TypeSpec:
		names[room+"."+spec.Name.Name] = true
		var fields *ast.FieldList
		switch typ := spec.Type.(type) {
		case *ast.StructType:
			fields = typ.Fields
		case *ast.InterfaceType:
			fields = typ.Methods
		default:
			return
		}
		for _, field := range fields.List {
			for _, name := range field.Names {
				names[room+"."+spec.Name.Name+"."+name.Name] = true
			}
		}
	}
}
