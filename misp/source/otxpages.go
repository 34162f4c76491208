package source

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"custom-misp/misp/mirror"
)

const (
	otxCursor = "pulses"
	otxPage   = "50" // pulses that are asked for at a time; OTX gives no more
)

// otxAnswer is a page of pulses.
type otxAnswer struct {
	Next    *string           `json:"next"`
	Results []json.RawMessage `json:"results"`
}

// An otxWalk reads the pulses of OTX that were changed since the last walk, by the addresses that each page gives for the
// next.
type otxWalk struct {
	c       *mirror.Collection
	at      cursor
	guard   *pageGuard
	resumed bool // the next page is that of an earlier sync
}

// collectOTX reads the pulses of OTX that are new.
func (s *Source) collectOTX(ctx context.Context, c *mirror.Collection) error {
	w := &otxWalk{c: c, at: cursorOf(c.Cursor(otxCursor)), guard: newPageGuard()}
	if walk := w.at.Walk; walk == nil || c.Now().Sub(walk.At) > longestResumed {
		w.restart()
	}
	w.resumed = w.at.Walk.Next != ""
	for {
		more, err := w.page(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// restart begins again with what was changed since the last walk.
func (w *otxWalk) restart() {
	w.at.Walk, w.resumed = &walkCursor{From: w.at.After, Last: w.at.After}, false
}

// page reads a page, and reports whether there are more.
func (w *otxWalk) page(ctx context.Context) (more bool, err error) {
	address := w.at.Walk.Next
	if address == "" {
		if address, err = otxFirst(w.c.Place(), w.at.Walk.From); err != nil {
			return false, w.c.Trouble(err, "is the address right?")
		}
	}
	if w.guard.again(address) {
		return false, w.c.Trouble(errSamePage, remedyServer)
	}
	page, err := w.c.Ask(ctx, address, http.Header{"Accept": {"application/json"}})
	if err != nil && w.resumed && (page.Status == http.StatusNotFound || page.Status == http.StatusBadRequest) {
		w.restart() // the page is there no more
		return true, nil
	}
	if err != nil {
		return false, w.trouble(page, err)
	}
	w.resumed = false
	answer, err := decodeOTX(page.Body)
	if err != nil {
		return false, w.c.Trouble(err, "is url the address of pulses, like https://otx.alienvault.com/api/v1/pulses/subscribed, and the key right (header X-OTX-API-KEY)?")
	}
	pulses, err := answer.kept()
	if err == nil {
		more, err = w.goOn(answer)
	}
	if err != nil {
		return false, w.c.Trouble(err, remedyServer)
	}
	next := cursor{After: w.at.Walk.Last}
	if more {
		next = w.at
	}
	return more, w.c.Keep(otxCursor, next.String(), pulses)
}

// goOn sets where the next page is, and reports whether there is one.
func (w *otxWalk) goOn(answer otxAnswer) (more bool, err error) {
	fresh := 0
	for _, raw := range answer.Results {
		id, modified := pulseVersion(raw)
		if w.at.Walk.Last = later(w.at.Walk.Last, modified); w.guard.isNew(id, modified) {
			fresh++
		}
	}
	if answer.Next == nil || *answer.Next == "" {
		return false, nil
	}
	if len(*answer.Next) > maxCursor {
		return false, fmt.Errorf("the address of the next page has %d bytes, more than %d", len(*answer.Next), maxCursor)
	}
	w.at.Walk.Next, w.at.Walk.At = *answer.Next, w.c.Now()
	return true, w.guard.page(fresh)
}

// otxFirst returns the address of the first page.
func otxFirst(place, since string) (string, error) {
	u, err := url.Parse(place)
	if err != nil {
		return "", fmt.Errorf("no valid address")
	}
	q := u.Query()
	if !q.Has("limit") {
		q.Set("limit", otxPage)
	}
	if since != "" {
		q.Set("modified_since", since)
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// trouble says what to do about an answer of another status than 200.
func (w *otxWalk) trouble(page mirror.Page, err error) error {
	if page.Status == http.StatusUnauthorized || page.Status == http.StatusForbidden {
		answered := fmt.Errorf("answered %d %s", page.Status, http.StatusText(page.Status))
		return mirror.Waiting(w.c.Trouble(answered, "declare headers: {X-OTX-API-KEY: {file: PATH}}, and write the key of the account at OTX into this file"), err)
	}
	return err
}

// decodeOTX reads a page: of pulses, a list of pulses, or one pulse.
func decodeOTX(body []byte) (a otxAnswer, err error) {
	text := strings.TrimSpace(string(body))
	switch {
	case kindOf(body) == "HTML":
		return a, errPage
	case strings.HasPrefix(text, "["):
		err = json.Unmarshal(body, &a.Results)
	default:
		var one struct {
			otxAnswer
			Indicators json.RawMessage `json:"indicators"`
		}
		if err = json.Unmarshal(body, &one); err == nil {
			if a = one.otxAnswer; a.Results == nil && one.Indicators != nil {
				a.Results = []json.RawMessage{body}
			}
			if a.Results == nil {
				err = fmt.Errorf("there are no pulses in it")
			}
		}
	}
	if err != nil {
		return otxAnswer{}, fmt.Errorf("no pulses of OTX: %s", short(err.Error()))
	}
	return a, nil
}

// pulseVersion returns the id of a pulse, and when it was changed.
func pulseVersion(raw []byte) (id, modified string) {
	var p struct {
		ID       string `json:"id"`
		Modified string `json:"modified"`
	}
	_ = json.Unmarshal(raw, &p) // what cannot be read has neither
	return p.ID, p.Modified
}

// kept returns pulses as they are kept: each as a list of one, so that its indicators are read together with what it says
// about them.
func (a otxAnswer) kept() (list [][]byte, err error) {
	for _, raw := range a.Results {
		if len(raw) > maxPulse {
			id, _ := pulseVersion(raw)
			return nil, fmt.Errorf("the pulse %s has %d bytes, more than %d", short(id), len(raw), maxPulse)
		}
		if raw[0] == '{' {
			list = append(list, slices.Concat([]byte("["), raw, []byte("]")))
		}
	}
	return list, nil
}
