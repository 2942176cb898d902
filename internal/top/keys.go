package top

import "unicode/utf8"

// sequences are what terminals send for keys that are no character: those of xterm, in both of its modes, and those of the Linux console.
var sequences = map[string]string{
	"[A": KeyUp, "OA": KeyUp, "[B": KeyDown, "OB": KeyDown, "[5~": KeyPageUp, "[6~": KeyPageDown,
	"[H": KeyHome, "OH": KeyHome, "[1~": KeyHome, "[7~": KeyHome, "[F": KeyEnd, "OF": KeyEnd, "[4~": KeyEnd, "[8~": KeyEnd,
}

var controls = map[byte]string{'\r': KeyEnter, '\n': KeyEnter, '\t': KeyTab, 0x7f: KeyDelete, 0x08: KeyDelete, 0x03: KeyStop}

// Keys cuts what a terminal sent at once into keys. What means nothing here is left out.
func Keys(input []byte) (keys []string) {
	for len(input) > 0 {
		key, n := nextKey(input)
		input = input[n:]
		if key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

func nextKey(input []byte) (key string, n int) {
	if input[0] == 0x1b {
		return escaped(input)
	}
	if input[0] < 0x20 || input[0] == 0x7f {
		return controls[input[0]], 1
	}
	r, n := utf8.DecodeRune(input)
	if r == utf8.RuneError {
		return "", n
	}
	return string(r), n
}

// escaped reads a sequence that begins with escape; a lone escape, or one before something else, is the key of that name.
func escaped(input []byte) (key string, n int) {
	if len(input) < 2 || input[1] != '[' && input[1] != 'O' {
		return KeyEscape, 1
	}
	for n = 2; n < len(input); n++ {
		if c := input[n]; c >= 0x40 && c <= 0x7e { // the last byte of a sequence
			return sequences[string(input[1:n+1])], n + 1
		}
	}
	return "", len(input)
}
