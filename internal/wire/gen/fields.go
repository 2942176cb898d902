package main

import (
	"fmt"
	"strconv"
	"strings"
)

func (f *field) goType() string {
	base := f.kind
	switch {
	case f.kind == "struct":
		base = f.structure.goName
		if f.mayBeNull() && !f.array {
			base = "*" + base
		}
	case f.kind == "uuid":
		base = "UUID"
	case f.kind == "bytes":
		base = "[]byte"
	case f.kind == "records":
		base = "Records"
	case f.isErrorCode():
		base = "ErrorCode"
	case f.kind == "string" && f.mayBeNull() && !f.array:
		base = "NullString"
	}
	if f.array {
		return "[]" + base
	}
	return base
}

func (f *field) isErrorCode() bool {
	return f.kind == "int16" && !f.array && strings.HasSuffix(f.name, "ErrorCode")
}

// method is what the runtime calls the field's type: readX and writeX.
func (f *field) method() string {
	name := map[string]string{"bool": "Bool", "int8": "Int8", "int16": "Int16", "uint16": "Uint16", "int32": "Int32", "int64": "Int64",
		"float64": "Float64", "uuid": "UUID", "string": "String", "bytes": "Bytes", "records": "Records"}[f.kind]
	switch {
	case f.isErrorCode():
		name = "ErrorCode"
	case f.array:
		name += "s"
	case f.kind == "string" && f.mayBeNull():
		name = "NullString"
	}
	return name
}

// isSlice reports whether nil is the field's null.
func (f *field) isSlice() bool { return f.array || f.kind == "bytes" }

func (f *field) defaultsToNull() bool {
	return f.mayBeNull() && f.hasDefault && f.defaultText == "null"
}

// literal is the default of a field that is no slice.
func (f *field) literal() string {
	switch {
	case f.kind == "uuid":
		return "UUID{}"
	case f.kind == "records":
		return "Records{}"
	case f.kind == "string" && !f.mayBeNull():
		return strconv.Quote(f.defaultText)
	case f.kind == "string" && f.defaultsToNull():
		return "NullString{}"
	case f.kind == "string":
		return "NullString{Valid: true}"
	case f.kind == "struct":
		return "nil"
	case f.hasDefault:
		return f.defaultText
	case f.kind == "bool":
		return "false"
	}
	return "0"
}

// setDefault is the statement that gives the field its default and keeps what can be reused.
func (f *field) setDefault() string {
	target := "m." + f.name
	switch {
	case f.isSlice() && f.defaultsToNull():
		return target + " = nil"
	case f.kind == "bytes" && f.mayBeNull():
		return target + " = []byte{}"
	case f.kind == "bytes": // not [:0]: its capacity is the input's
		return target + " = nil"
	case f.isSlice() && f.mayBeNull():
		return fmt.Sprintf("%s = emptied(%s)", target, target)
	case f.isSlice():
		return fmt.Sprintf("%s = %s[:0]", target, target)
	case f.kind == "struct" && !f.mayBeNull():
		return target + ".Default()"
	case f.kind == "struct" && !f.defaultsToNull():
		return fmt.Sprintf("%s = reused(%s)\n%s.Default()", target, target, target)
	}
	return target + " = " + f.literal()
}

// differs is the condition for the field not to hold its default.
func (f *field) differs() string {
	target := "m." + f.name
	switch {
	case f.isSlice() && f.defaultsToNull():
		return target + " != nil"
	case f.isSlice() && f.mayBeNull():
		return fmt.Sprintf("(%s == nil || len(%s) != 0)", target, target)
	case f.isSlice():
		return fmt.Sprintf("len(%s) != 0", target)
	case f.kind == "records":
		return fmt.Sprintf("(%s.Bytes != nil || %s.Region != nil)", target, target)
	case f.kind == "struct" && !f.mayBeNull():
		return fmt.Sprintf("!%s.isDefault()", target)
	case f.kind == "struct" && !f.defaultsToNull():
		return fmt.Sprintf("(%s == nil || !%s.isDefault())", target, target)
	case f.kind == "bool" && f.literal() == "false":
		return target
	case f.kind == "bool":
		return "!" + target
	case f.kind == "string" && f.literal() == "NullString{}":
		return target + ".Valid"
	case strings.HasSuffix(f.literal(), "}"):
		return fmt.Sprintf("%s != (%s)", target, f.literal())
	}
	return fmt.Sprintf("%s != %s", target, f.literal())
}
