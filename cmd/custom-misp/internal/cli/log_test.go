package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// logHostile logs one record with hostile texts everywhere.
func logHostile(log *slog.Logger) {
	log.With("before", hostile).Warn(hostile, "value", hostile, "error", errors.New(hostile), "n", 3, slog.Group("group", "in", hostile))
}

// TestLogText has one record be one line that a terminal can show, whatever its message and attributes hold.
func TestLogText(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := NewLog(&out, slog.LevelInfo, false)
	logHostile(log)
	log.Debug("below the level")
	line, rest, _ := strings.Cut(out.String(), "\n")
	if rest != "" {
		t.Fatalf("more than one line: %q", out.String())
	}
	checkClean(t, line)
	when, text, _ := strings.Cut(line, " custom-misp: ")
	if _, err := time.Parse("2006/01/02 15:04:05", when); err != nil {
		t.Errorf("time %q", when)
	}
	if want := "WARNING: " + Clean(hostile) + ` before="a\x00b`; !strings.HasPrefix(text, want) {
		t.Errorf("%q, want it to begin with %q", text, want)
	}
	for _, part := range []string{` value="a\x00b\x1b[31mc\u009b2Jd\u202e`, ` error="a\x00b`, ` n=3`, ` group.in="a\x00b`} {
		if !strings.Contains(text, part) {
			t.Errorf("%q lacks %q", text, part)
		}
	}
}

// TestLogJSON has one record be one line without characters that a terminal acts on, and all of its text.
func TestLogJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := NewLog(&out, slog.LevelInfo, true)
	logHostile(log)
	line, rest, _ := strings.Cut(out.String(), "\n")
	if rest != "" {
		t.Fatalf("more than one line: %q", out.String())
	}
	checkClean(t, line)
	var got struct {
		Time                               time.Time
		Level, Msg, Program, Value, Before string
		Group                              struct{ In string }
	}
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	whole := strings.ToValidUTF8(hostile, "\ufffd")
	if got.Msg != whole || got.Value != whole || got.Before != whole || got.Group.In != whole {
		t.Errorf("texts changed: %+v", got)
	}
	if got.Level != "WARN" || got.Program != "custom-misp" || time.Since(got.Time) > time.Hour {
		t.Errorf("%+v", got)
	}
	out.Reset()
	log.Info("tags \U000e0041 😀")
	if want := `"msg":"tags \udb40\udc41 😀"`; !strings.Contains(out.String(), want) {
		t.Errorf("%q lacks %q", out.String(), want)
	}
}

// TestLogLevels uses Wazuh's words.
func TestLogLevels(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := NewLog(&out, slog.LevelDebug, false)
	for level, word := range map[slog.Level]string{slog.LevelDebug: "DEBUG", slog.LevelInfo: "INFO", slog.LevelWarn: "WARNING", slog.LevelError: "ERROR"} {
		out.Reset()
		log.Log(context.Background(), level, "text")
		if !strings.HasSuffix(out.String(), " custom-misp: "+word+": text\n") {
			t.Errorf("%v: %q", level, out.String())
		}
	}
	NoLog().Error("goes nowhere")
}

// TestLogConcurrent has lines of several goroutines not mix.
func TestLogConcurrent(t *testing.T) {
	t.Parallel()
	for _, asJSON := range []bool{false, true} {
		r, w := io.Pipe()
		log := NewLog(w, slog.LevelInfo, asJSON)
		var writers sync.WaitGroup
		for n := range 4 {
			writers.Go(func() {
				mine := log.With("writer", n)
				for range 50 {
					mine.Info("begin", "text", strings.Repeat("x", 100), "last", "end")
				}
			})
		}
		go func() { writers.Wait(); _ = w.Close() }()
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		for _, line := range lines {
			if strings.Count(line, "begin") != 1 || !strings.HasSuffix(strings.TrimRight(line, `"}`), "end") {
				t.Errorf("line %q", line)
			}
		}
		if len(lines) != 200 {
			t.Errorf("%d lines", len(lines))
		}
	}
}
