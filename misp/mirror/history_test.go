package mirror

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"custom-misp/misp/misptest"
)

// history is a MISP that users and other servers change at random, from a seed.
type history struct {
	*site
	*rand.Rand
	attributes, deleted, events []string
	inObject                    map[string]bool
	in                          map[string]string // attribute → event
	next                        int
}

func (h *history) uuid() string {
	h.next++
	return fmt.Sprintf("00000000-0000-4000-8000-%012x", h.next)
}

func one(h *history, list []string) string { return list[h.IntN(len(list))] }

// attribute returns a new one, and notes it.
func (h *history) attribute(event string, timestamp int) string {
	id, v := h.uuid(), values[h.IntN(len(values))]
	h.attributes = append(h.attributes, id)
	h.in[id] = event
	return fmt.Sprintf(`{"uuid":%q,"type":%q,"value":%q,"to_ids":%t,"timestamp":"%d"}`, id, v.typ, v.value, h.IntN(2) == 0, timestamp)
}

func (h *history) event() string {
	id, at := h.uuid(), 1700000000+h.IntN(1000)
	h.events = append(h.events, id)
	list := func() string {
		var all []string
		for range h.IntN(4) {
			all = append(all, h.attribute(id, at))
		}
		return strings.Join(all, ",")
	}
	plain, objects := list(), ""
	if h.IntN(2) == 0 {
		before := len(h.attributes)
		objects = `{"Attribute":[` + list() + `]},{"Attribute":[` + list() + `]}`
		for _, a := range h.attributes[before:] {
			h.inObject[a] = true
		}
	}
	return fmt.Sprintf(`{"Event":{"uuid":%q,"info":"event %d","published":%t,"timestamp":"%d","publish_timestamp":"%d","Tag":[{"name":"event:first"}],"Attribute":[%s],"Object":[%s]}}`,
		id, h.next, h.IntN(2) == 0, at, at, plain, objects)
}

// lose forgets attributes that are gone.
func (h *history) lose(gone func(id string) bool) {
	h.attributes, h.deleted = slices.DeleteFunc(h.attributes, gone), slices.DeleteFunc(h.deleted, gone)
}

// object returns an attribute of an object; empty for none.
func (h *history) object() string {
	for _, a := range h.attributes {
		if h.inObject[a] && h.IntN(3) == 0 {
			return a
		}
	}
	return ""
}

// change makes one change; one of those that a walk alone sees only if it may.
func (h *history) change(silent bool) {
	if len(h.events) == 0 || len(h.attributes) == 0 {
		h.PullEvent(h.event())
		return
	}
	a, e := one(h, h.attributes), one(h, h.events)
	changes := []func(){
		func() { h.AddEvent(h.event()) },
		func() { h.PullEvent(h.event()) },
		func() { h.PushEvent(h.event()) },
		func() { h.AddAttribute(e, strings.Replace(h.attribute(e, 0), `,"timestamp":"0"`, "", 1)) },
		func() {
			h.AddOldAttribute(e, strings.Replace(h.attribute(e, 0), `,"timestamp":"0"`, "", 1), 1700000000)
		},
		func() { h.EditAttribute(a, fmt.Sprintf(`{"comment":"%d"}`, h.IntN(3))) },
		func() {
			v := values[h.IntN(len(values))]
			h.EditAttribute(a, fmt.Sprintf(`{"type":%q,"value":%q}`, v.typ, v.value))
		},
		func() { h.EditAttribute(a, fmt.Sprintf(`{"to_ids":%t}`, h.IntN(2) == 0)) },
		func() { h.TagAttribute(a, fmt.Sprintf("own:%d", h.IntN(3))) },
		func() { h.UntagAttribute(a, "own:1") },
		func() {
			h.SoftDelete(a)
			h.lose(func(id string) bool { return id == a })
			h.deleted = append(h.deleted, a)
		},
		func() {
			if len(h.deleted) > 0 {
				back := one(h, h.deleted)
				h.Restore(back)
				h.lose(func(id string) bool { return id == back })
				h.attributes = append(h.attributes, back)
			}
		},
		func() { h.HardDelete(a); h.lose(func(id string) bool { return id == a }) },
		func() {
			if o := h.object(); o != "" {
				h.DeleteObject(o)
			}
		},
		func() { h.HideAttribute(a) },
		func() { h.TagEvent(e, fmt.Sprintf("event:%d", h.IntN(3))) },
		func() { h.UntagEvent(e, "event:first") },
		func() { h.EditEvent(e, map[string]any{"info": fmt.Sprint(h.IntN(9)), "threat_level_id": "1"}) },
		func() { h.Publish(e) },
		func() { h.Publish(e) },
		func() { h.Unpublish(e) },
		func() { h.HideEvent(e, h.IntN(2) == 0) },
		func() { h.ShareEvent(e, h.IntN(2) == 0) },
		func() {
			h.EditByPush(e, 1700000000+int64(h.IntN(2000)), func(edit func(uuid, fields string)) {
				if h.in[a] == e {
					edit(a, `{"comment":"pushed"}`)
				}
			})
		},
		func() {
			h.DeleteEvent(e)
			h.lose(func(id string) bool { return h.in[id] == e })
			h.events = slices.DeleteFunc(h.events, func(id string) bool { return id == e })
		},
	}
	if silent {
		changes = []func(){
			func() { h.TagAttributeLocally(a, "local:x") },
			func() { h.TagEventLocally(e, "local:y") },
			func() { h.DeleteTag("event:first") },
			func() { h.Merge(e, one(h, h.events)) },
			func() { h.Warn(a, "some list") },
		}
	}
	changes[h.IntN(len(changes))]()
}

// trySync syncs, and now and then has MISP fail in the middle of that.
func (h *history) trySync(full bool) {
	if h.IntN(3) == 0 {
		left := h.IntN(4)
		h.Fault(func(w http.ResponseWriter, r *http.Request) {
			if left--; left < 0 {
				text(502, "text/html", "Bad Gateway")(w, r)
				return
			}
			h.Answer(w, r)
		})
	}
	_, _ = h.syncer.Sync(context.Background(), h.origin, full)
	h.Fault(nil)
	if h.IntN(4) == 0 {
		h.restart()
	}
}

// TestHistories lives through histories of changes, with syncs in between that may fail. In the end, after a reconciliation
// that works, mirror and MISP agree about all values; after changes that a walk alone sees, they do after a walk.
func TestHistories(t *testing.T) {
	t.Parallel()
	for seed := range uint64(times(20, 25)) {
		server := misptest.New(t, fstest.MapFS{})
		h := &history{site: newSite(t, server), Rand: rand.New(rand.NewPCG(seed, 1)), in: map[string]string{}, inObject: map[string]bool{}} //nolint:gosec // to be repeated
		h.syncer.testOnlyLeastBase = h.IntN(12) - 1
		agree := func(when string) {
			t.Helper()
			if d := h.difference(crowdAsked); d != "" {
				t.Fatalf("seed %d, %s (-misp +mirror):\n%s", seed, when, d)
			}
			counted(t, h.mirror)
		}
		for range 10 + h.IntN(40) {
			for range 1 + h.IntN(3) {
				h.change(false)
			}
			switch h.IntN(4) {
			case 0, 1:
				h.tick(time.Duration(h.IntN(90)) * time.Second)
			case 2:
				h.tick(time.Duration(h.IntN(15)) * time.Minute)
			}
			if h.IntN(2) == 0 {
				h.trySync(h.IntN(30) == 0)
			}
		}
		h.tick(UsualReconcile)
		h.sync()
		agree("after a reconciliation")
		for range h.IntN(5) {
			h.change(true)
		}
		h.tick(UsualFull)
		h.trySync(true)
		h.sync()
		h.tick(UsualReconcile)
		h.sync()
		agree("after a walk")
		onlySet(t, h.syncer.Dir+"/misp")
		h.mirror.Close()
		h.syncer.Close()
		server.Close()
	}
}
