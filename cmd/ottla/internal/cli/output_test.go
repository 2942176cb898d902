package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ottla-io/ottla/cmd/ottla/internal/cli"
)

// decodeAll reads documents to the end.
func decodeAll(t *testing.T, next func(any) error) (all []any) {
	t.Helper()
	for {
		var one any
		if err := next(&one); err != nil {
			if err.Error() != "EOF" {
				t.Fatal(err)
			}
			return all
		}
		all = append(all, one)
	}
}

// normal has numbers of one type.
func normal(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestYAMLOfAnyString: strings that YAML would take for something else come back as they were, however the JSON is cut into writes.
func TestYAMLOfAnyString(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	values := []string{"", "~", "null", "true", "no", "Yes", "0x1f", "1_000", "1e3", "-1", ".5", "2026-01-02", "- a", "a: b", "a #b", "#", "&a", "*a", "!t", "%", "@", "`", "'", "\"",
		"line\nline\n", "tab\t", "\x00\x1f", "\u2028", "\U0001F600", "<<", "=", " lead", "trail ", "{a}", "[a]", "?", "|", ">", "---", "...", "\u0085", "\ufeff"}
	for i := range 300 {
		value := values[random.IntN(len(values))]
		if i < len(values) {
			value = values[i]
		} else {
			value += values[random.IntN(len(values))]
		}
		document := map[string]any{value: value, "list": []any{value, 1, nil, true, map[string]any{}}}
		text, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		w := cli.NewYAMLWriter(&out)
		text = fmt.Appendf(nil, "%s\n%s\n", text, text)
		cut := random.IntN(len(text))
		for _, piece := range [][]byte{text[:cut], text[cut:]} {
			if _, err := w.Write(piece); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		back := decodeAll(t, yaml.NewDecoder(&out).Decode)
		if got, want := normal(t, back), normal(t, []any{document, document}); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	if _, err := cli.NewYAMLWriter(&bytes.Buffer{}).Write([]byte("not a document\n")); err == nil {
		t.Error("text passed for a document")
	}
}

type inner struct {
	List []string `json:"list"`
}

// TestEmptyListsAreLists: a list that nobody made is [] in a document, wherever it lies, and what is no list stays as it is.
func TestEmptyListsAreLists(t *testing.T) {
	type named []inner
	var none named
	two := []*inner{{}, nil}
	for _, c := range []struct {
		value any
		want  string
	}{
		{none, `[]`},
		{[][]int32{nil, {1}}, `[[],[1]]`},
		{two, `[{"list":[]},null]`},
		{&inner{}, `{"list":[]}`},
		{map[string][]string{"deleted": nil}, `{"deleted":[]}`},
		{map[string]any{"a": []int(nil), "b": inner{}, "c": nil}, `{"a":[],"b":{"list":[]},"c":null}`},
		{struct {
			inner                // not exported, but its fields are
			Some  named          `json:"some,omitempty"`
			Bytes []byte         `json:"bytes"`
			Map   map[string]int `json:"map"`
			none  []string
			At    time.Time `json:"at"`
		}{At: time.Unix(0, 0).UTC()}, `{"list":[],"bytes":null,"map":null,"at":"1970-01-01T00:00:00Z"}`},
		{[2][]int{}, `[[],[]]`},
		{nil, `null`},
	} {
		var out, compact bytes.Buffer
		if err := cli.PrintJSON(&out, c.value); err != nil {
			t.Fatal(err)
		}
		if err := json.Compact(&compact, out.Bytes()); err != nil || compact.String() != c.want {
			t.Errorf("%#v is printed as %s, want %s (%v)", c.value, &compact, c.want, err)
		}
	}
	if two[0].List != nil {
		t.Error("the caller's value was changed")
	}
}
