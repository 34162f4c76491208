package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// This file is the form of the log. As text it has the form of Wazuh's own logs, which people and log collectors know
// how to read:
//
//	2026/10/05 08:10:03 custom-misp: WARNING: alert queued until MISP answers alert_id=1791187801.40960 queued=3
//
// As JSON it has one object a line, with the keys time, level, msg, program and those of the text. In neither form does
// it hold a character that a terminal acts on, a secret or a whole alert.

// NewLog returns a log that writes to w in the form of Wazuh's logs, or as JSON.
func NewLog(w io.Writer, level slog.Level, asJSON bool) *slog.Logger {
	if asJSON {
		h := slog.NewJSONHandler(escaped{w}, &slog.HandlerOptions{Level: level})
		return slog.New(h).With("program", "custom-misp")
	}
	return slog.New(newWazuhHandler(w, level))
}

// escaped writes JSON with escapes for the characters that JSON allows, but that cannot be printed, such as control
// characters above U+007E and bidirectional ones. They are inside of texts only, which keep their value.
type escaped struct{ w io.Writer }

// Write implements io.Writer.
func (e escaped) Write(p []byte) (int, error) {
	line := make([]byte, 0, len(p))
	for _, r := range string(p) {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			line = utf8.AppendRune(line, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			line = fmt.Appendf(line, `\u%04x\u%04x`, high, low)
		default:
			line = fmt.Appendf(line, `\u%04x`, r)
		}
	}
	if _, err := e.w.Write(line); err != nil {
		return 0, err
	}
	return len(p), nil
}

// NoLog is the log of verbs that people run: their errors go to standard error.
func NoLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// wazuhHandler writes lines in the form of Wazuh's logs: what stands before the message itself, and the rest as
// slog's own handler for text does, whose quoting keeps a line one line.
type wazuhHandler struct {
	slog.Handler // writes into line
	mu           *sync.Mutex
	line         *bytes.Buffer
	out          io.Writer
	journal      bool // the reader adds time and program, and wants the level as a number
}

func newWazuhHandler(w io.Writer, level slog.Level) wazuhHandler {
	line := &bytes.Buffer{}
	return wazuhHandler{
		Handler: slog.NewTextHandler(line, &slog.HandlerOptions{
			Level: level,
			ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
				if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
					return slog.Attr{}
				}
				return a
			},
		}),
		mu: &sync.Mutex{}, line: line, out: w,
	}
}

// wazuhLevels are Wazuh's words for levels.
var wazuhLevels = map[slog.Level]string{
	slog.LevelDebug: "DEBUG", slog.LevelInfo: "INFO", slog.LevelWarn: "WARNING", slog.LevelError: "ERROR",
}

// journalLevels are the numbers of levels in the journal of systemd, which reads them at the begin of a line.
var journalLevels = map[slog.Level]int{slog.LevelDebug: 7, slog.LevelInfo: 6, slog.LevelWarn: 4, slog.LevelError: 3}

// NewJournal returns a log for the journal of systemd, which is what it takes from standard error.
func NewJournal(w io.Writer, level slog.Level) *slog.Logger {
	h := newWazuhHandler(w, level)
	h.journal = true
	return slog.New(h)
}

// Handle implements slog.Handler. A line is one write, so that lines of two calls do not mix.
func (h wazuhHandler) Handle(ctx context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.line.Reset()
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	attributes := bytes.TrimSuffix(h.line.Bytes(), []byte("\n"))
	begin := fmt.Sprintf("%s custom-misp: %s: ", r.Time.Format("2006/01/02 15:04:05"), wazuhLevels[r.Level])
	if h.journal {
		begin = fmt.Sprintf("<%d>", journalLevels[r.Level])
	}
	line := begin + Clean(r.Message)
	if len(attributes) > 0 {
		line += " " + string(attributes)
	}
	_, err := io.WriteString(h.out, line+"\n")
	return err
}

// WithAttrs implements slog.Handler.
func (h wazuhHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

// WithGroup implements slog.Handler.
func (h wazuhHandler) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}
