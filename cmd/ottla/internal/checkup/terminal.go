package checkup

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/term"

	"github.com/ottla-io/ottla/internal/top"
)

// rawTerminal is a screen that is drawn on as a whole. It must be closed, or the user's shell is left without an echo.
type rawTerminal struct {
	in, out *os.File
	before  *term.State
	plain   bool // the user wants no colours: https://no-color.org
	drawn   []top.Line
}

// openTerminal takes the terminal over: keys come one by one, and what was on it comes back at the end.
func openTerminal(in, out *os.File) (*rawTerminal, error) {
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("take over the terminal: %w; --once needs none", err)
	}
	t := &rawTerminal{in: in, out: out, before: before, plain: os.Getenv("NO_COLOR") != ""}
	fmt.Fprint(out, "\x1b[?1049h\x1b[?25l\x1b[2J") // the other screen, no cursor, empty
	return t, nil
}

func (t *rawTerminal) close() {
	fmt.Fprint(t.out, "\x1b[0m\x1b[?25h\x1b[?1049l")
	_ = term.Restore(int(t.in.Fd()), t.before)
}

// size is 0, 0 where the terminal does not know it.
func (t *rawTerminal) size() (columns, rows int) {
	columns, rows, err := term.GetSize(int(t.out.Fd()))
	if err != nil {
		return 0, 0
	}
	return columns, rows
}

// read gives what is typed, until the terminal is gone. The goroutine ends with the process: a read of a terminal cannot be called off.
func (t *rawTerminal) read() <-chan []byte {
	chunks := make(chan []byte)
	go func() {
		defer close(chunks)
		for {
			chunk := make([]byte, 256)
			n, err := t.in.Read(chunk)
			if err != nil {
				return
			}
			chunks <- chunk[:n]
		}
	}()
	return chunks
}

// draw writes the lines that changed. All are drawn again when their number has: the size of the terminal has, too.
func (t *rawTerminal) draw(lines []top.Line) error {
	var out bytes.Buffer
	if len(lines) != len(t.drawn) {
		out.WriteString("\x1b[0m\x1b[2J")
		t.drawn = nil
	}
	for i, line := range lines {
		if t.drawn != nil && t.drawn[i] == line {
			continue
		}
		style := ""
		switch {
		case line.Alarm && !t.plain:
			style = "\x1b[1;31m"
		case line.Marked:
			style = "\x1b[7m"
		case line.Strong, line.Alarm:
			style = "\x1b[1m"
		}
		fmt.Fprintf(&out, "\x1b[%d;1H\x1b[0m%s%s\x1b[0m\x1b[K", i+1, style, line.Text)
	}
	t.drawn = lines
	if out.Len() == 0 {
		return nil
	}
	_, err := t.out.Write(out.Bytes())
	return err
}
