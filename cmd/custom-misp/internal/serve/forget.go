package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine/history"
)

// A ForgetRequest says what the history is to forget. One of its members but Caller is set.
type ForgetRequest struct {
	Value  string    `json:"value,omitempty"` // a value, a network, or a domain with the names below it
	Agent  string    `json:"agent,omitempty"` // its name
	Before time.Time `json:"before,omitzero"` // the first day that is kept
	Caller string    `json:"caller"`          // who asks for it
}

const (
	maxForget  = 16 << 10 // bytes of a request
	forgetTime = 10 * time.Minute
)

// forget returns the request as the history takes it.
func (r ForgetRequest) forget() (f history.Forget, err error) {
	f = history.Forget{Agent: r.Agent, Before: r.Before}
	if r.Value != "" {
		if f.Values, err = history.ParseQuery(r.Value); err != nil {
			return f, err
		}
	}
	if len(f.Values) == 0 && f.Agent == "" && f.Before.IsZero() {
		return f, errors.New("nothing is named that is to be forgotten")
	}
	return f, nil
}

// Forget removes from the history: by a running serve, and otherwise from its files.
func Forget(ctx context.Context, c *config.Config, r ForgetRequest) (n history.Forgotten, err error) {
	f, err := r.forget()
	if err != nil {
		return n, cli.WrongUse{Err: err}
	}
	if !app.ServeRuns(app.StateOf(c)) {
		return history.ForgetFiles(ctx, app.HistoryOptions(c, nil), f)
	}
	ctx, cancel := context.WithTimeout(ctx, forgetTime)
	defer cancel()
	body, err := json.Marshal(r)
	if err != nil {
		return n, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://serve/history/forget", bytes.NewReader(body))
	if err != nil {
		return n, err
	}
	socket := app.StateOf(c).Socket()
	resp, err := atSocket(socket).Do(req)
	if err != nil {
		return n, fmt.Errorf("serve runs, but does not answer at %s: %w; run this as root or as Wazuh's user", socket, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxForget))
	if err != nil {
		return n, err
	}
	if resp.StatusCode != http.StatusOK {
		return n, errors.New(strings.TrimSpace(string(text)))
	}
	return n, json.Unmarshal(text, &n)
}

// answerForget is what the socket answers to a ForgetRequest.
func (v *server) answerForget(w http.ResponseWriter, req *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(forgetTime)) // all files may have to be written again
	var r ForgetRequest
	err := json.NewDecoder(io.LimitReader(req.Body, maxForget)).Decode(&r)
	var f history.Forget
	if err == nil {
		f, err = r.forget()
	}
	if err != nil {
		http.Error(w, cli.Clean(err.Error()), http.StatusBadRequest)
		return
	}
	n, err := v.history.forget(req.Context(), f)
	v.log.Info("the history was told to forget", "caller", r.Caller, "value", r.Value, "agent", r.Agent, "before", r.Before, "records", n.Records, "changed", n.Changed)
	if err != nil {
		v.log.Error("the history could not forget all", "error", err.Error())
		http.Error(w, cli.Clean(err.Error()), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = cli.WriteJSON(w, n)
}

// forget removes from the history.
func (r *recorder) forget(ctx context.Context, f history.Forget) (history.Forgotten, error) {
	if r == nil {
		return history.Forgotten{}, errors.New("serve keeps no history: history.enabled is not set, or was set after it began; restart it")
	}
	s := r.store.Load()
	if s == nil {
		return history.Forgotten{}, errors.New("the history cannot be opened; see custom-misp status")
	}
	return s.Forget(ctx, f)
}
