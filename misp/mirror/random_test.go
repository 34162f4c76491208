package mirror

import (
	"fmt"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"pgregory.net/rapid"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp/misptest"
)

// crowd is a MISP that its users change at random, its mirror, and what the mirror may not know yet.
type crowd struct {
	*site
	attributes, deleted []string // live ones and soft-deleted ones, by UUID
	in                  map[string]string
	events              []string
	pulled              map[string]string // event → what it was pulled as
	gone                map[string]bool   // attributes that left without a trace
	unclear             map[string]bool   // events whose tags, or publication, changed without a trace
	next                int
}

// values are what attributes of a crowd are, so that many share one.
var values = []struct{ typ, value string }{
	{"domain", "evil.example"},
	{"hostname", "www.evil.example"},
	{"ip-dst", "192.31.196.25"},
	{"ip-src", "192.31.196.0/24"},
	{"ip-dst", "192.31.0.0/16"},
	{"domain|ip", "evil.example|192.31.196.25"},
	{"ip-src|port", "192.31.196.25|80"},
	{"filename|md5", "a.doc|0f0e0d0c0b0a09080706050403020100"},
	{"md5", "0f0e0d0c0b0a09080706050403020100"},
	{"url", "http://www.evil.example/x"},
	{"url", "http://192.31.196.25/x"},
	{"comment", "evil.example"},
	{"text", "some text"},
	{"email-src", "a@evil.example"},
	{"vulnerability", "CVE-2026-12345"},
	{"ip-dst", "2620:4f:8000::1"},
	{"ip-dst", "2620:4f:8000::/48"},
}

// crowdAsked are observables for them.
var crowdAsked = []engine.Observable{
	observable("domain", "evil.example"), observable("hostname", "a.www.evil.example"), observable("ip-dst", "192.31.196.25"),
	observable("ip-src", "192.31.7.7"), observable("md5", "0f0e0d0c0b0a09080706050403020100"), observable("filename", "a.doc"),
	observable("url", "http://www.evil.example/x"), observable("url", "http://192.31.196.25/x"), observable("url", "http://[2620:4f:8000::1]/"),
	observable("text", "some text"), observable("email", "a@evil.example"), observable("vulnerability", "CVE-2026-12345"),
	observable("ip-dst", "2620:4f:8000::1"),
}

func (c *crowd) uuid() string {
	c.next++
	return fmt.Sprintf("00000000-0000-4000-8000-%012x", c.next)
}

func (c *crowd) value(t *rapid.T) (typ, value string) {
	v := rapid.SampledFrom(values).Draw(t, "value")
	return v.typ, v.value
}

// event returns an event with up to four attributes, and notes them.
func (c *crowd) event(t *rapid.T) (uuid, text string) {
	uuid = c.uuid()
	text = fmt.Sprintf(`{"Event":{"uuid":%q,"info":"event %d","published":%t,"timestamp":"1700000000","Tag":[{"name":"event:first"}],"Attribute":[`,
		uuid, c.next, rapid.Bool().Draw(t, "published"))
	for i := range rapid.IntRange(0, 4).Draw(t, "attributes") {
		if i > 0 {
			text += ","
		}
		id := c.uuid()
		typ, value := c.value(t)
		text += fmt.Sprintf(`{"uuid":%q,"type":%q,"value":%q,"timestamp":"1700000000","to_ids":true}`, id, typ, value)
		c.note(id, uuid)
	}
	return uuid, text + "]}}"
}

func (c *crowd) note(attribute, event string) {
	c.attributes = append(c.attributes, attribute)
	c.in[attribute] = event
}

// take takes one out of a list at random; the action is skipped if there is none.
func take(t *rapid.T, list *[]string) string {
	if len(*list) == 0 {
		t.Skip("none")
	}
	i := rapid.IntRange(0, len(*list)-1).Draw(t, "which")
	one := (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return one
}

func any1(t *rapid.T, list []string) string {
	list = slices.Clone(list)
	return take(t, &list)
}

func (c *crowd) actions() map[string]func(*rapid.T) {
	edit := func(fields func(t *rapid.T) string) func(*rapid.T) {
		return func(t *rapid.T) { c.EditAttribute(any1(t, c.attributes), fields(t)) }
	}
	return map[string]func(*rapid.T){
		"add an event": func(t *rapid.T) {
			uuid, text := c.event(t)
			c.AddEvent(text)
			c.events = append(c.events, uuid)
		},
		"pull an event": func(t *rapid.T) {
			uuid, text := c.event(t)
			c.PullEvent(text)
			c.events = append(c.events, uuid)
			c.pulled[uuid] = text
		},
		"add an attribute": func(t *rapid.T) {
			event, id := any1(t, c.events), c.uuid()
			typ, value := c.value(t)
			c.AddAttribute(event, fmt.Sprintf(`{"uuid":%q,"type":%q,"value":%q,"to_ids":%t}`, id, typ, value, rapid.Bool().Draw(t, "to_ids")))
			c.note(id, event)
		},
		"edit a value": edit(func(t *rapid.T) string {
			typ, value := c.value(t)
			return fmt.Sprintf(`{"type":%q,"value":%q}`, typ, value)
		}),
		"edit a comment": edit(func(t *rapid.T) string {
			return fmt.Sprintf(`{"comment":"%d"}`, rapid.IntRange(0, 3).Draw(t, "comment"))
		}),
		"flip to_ids": edit(func(t *rapid.T) string { return fmt.Sprintf(`{"to_ids":%t}`, rapid.Bool().Draw(t, "to_ids")) }),
		"tag":         func(t *rapid.T) { c.TagAttribute(any1(t, c.attributes), fmt.Sprintf("own:%d", c.now.Unix())) },
		"delete softly": func(t *rapid.T) {
			id := take(t, &c.attributes)
			c.SoftDelete(id)
			c.deleted = append(c.deleted, id)
		},
		"restore": func(t *rapid.T) {
			id := take(t, &c.deleted)
			c.Restore(id)
			c.attributes = append(c.attributes, id)
		},
		"delete for good": func(t *rapid.T) {
			id := take(t, &c.attributes)
			c.HardDelete(id)
			c.gone[id] = true
			c.unclear[c.in[id]] = true // an edit of it that no poll has seen yet made a draft of the event
		},
		"tag an event": func(t *rapid.T) {
			event := any1(t, c.events)
			c.TagEvent(event, fmt.Sprintf("event:%d", c.now.Unix()))
			c.unclear[event] = true
		},
		"publish": func(t *rapid.T) {
			event := any1(t, c.events)
			c.Publish(event)
			delete(c.unclear, event)
		},
		"unpublish": func(t *rapid.T) {
			event := any1(t, c.events)
			c.Unpublish(event)
			c.unclear[event] = true
		},
		"delete an event": func(t *rapid.T) {
			event := take(t, &c.events)
			c.DeleteEvent(event)
			lost := func(id string) bool {
				if c.in[id] != event {
					return false
				}
				c.gone[id] = true
				return true
			}
			c.attributes, c.deleted = slices.DeleteFunc(c.attributes, lost), slices.DeleteFunc(c.deleted, lost)
		},
		"pull an event again": func(t *rapid.T) {
			var gone []string
			for event := range c.pulled {
				if !slices.Contains(c.events, event) {
					gone = append(gone, event)
				}
			}
			slices.Sort(gone)
			event := any1(t, gone)
			c.PullEvent(c.pulled[event])
			c.events = append(c.events, event)
			delete(c.pulled, event)
			// What it had beside may stay until the next walk, and so do the ones of it that were deleted before: they
			// are noted as gone.
		},
		"poll": func(t *rapid.T) { c.check(t, c.State()) },
		"let time pass": func(t *rapid.T) {
			c.tick(time.Duration(rapid.IntRange(1, 700).Draw(t, "seconds")) * time.Second)
		},
		"": func(*rapid.T) { c.tick(time.Second) },
	}
}

// State syncs.
func (c *crowd) State() State { return c.sync() }

// check compares mirror and MISP, except for what MISP does not report.
func (c *crowd) check(t *rapid.T, _ State) {
	live, err := c.client.Lookup(c.t.Context(), crowdAsked)
	must(c.t, err)
	mirrored, err := c.mirror.Lookup(c.t.Context(), crowdAsked)
	must(c.t, err)
	if d := diff(c.reported(live), c.reported(mirrored)); d != "" {
		t.Fatalf("at %s (-misp +mirror):\n%s", c.now, d)
	}
	counted(c.t, c.mirror)
}

// reported leaves out of matches what MISP does not report to a mirror.
func (c *crowd) reported(matches []enrich.Match) []enrich.Match {
	var reported []enrich.Match
	for _, m := range matches {
		if c.gone[m.Attribute.UUID] {
			continue
		}
		if c.unclear[m.Attribute.Event.UUID] {
			m.Attribute.Tags = slices.DeleteFunc(slices.Clone(m.Attribute.Tags), func(tag string) bool { return tag[:3] != "own" })
			m.Attribute.Event.Tags, m.Attribute.Event.Published = nil, false
		}
		reported = append(reported, m)
	}
	return reported
}

// TestRandom has users change a MISP at random, and the mirror poll it now and then. After a poll, the mirror knows all
// that MISP reports; after a walk, all; and a new base that is made of the changes makes no difference.
func TestRandom(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		server := misptest.New(t, fstest.MapFS{})
		defer server.Close()
		c := &crowd{
			site: newSite(t, server), in: map[string]string{}, pulled: map[string]string{}, gone: map[string]bool{}, unclear: map[string]bool{},
		}
		c.mirror = openMirror(t, c.syncer.Dir, ServerName)
		c.mirror.Now = c.syncer.Now
		c.syncer.testOnlyLeastBase = rapid.IntRange(-1, 12).Draw(r, "least base") // 0: nothing is merged
		for range 3 {
			uuid, text := c.event(r)
			c.AddEvent(text)
			c.events = append(c.events, uuid)
		}
		c.sync()
		r.Repeat(c.actions())
		c.check(r, c.sync())

		// All that is deleted is found by a walk, and so are tags on events.
		c.tick(UsualFull)
		c.gone, c.unclear = map[string]bool{}, map[string]bool{}
		c.check(r, c.sync())
		c.mirror = openMirror(t, c.syncer.Dir, ServerName)
		c.mirror.Now = c.syncer.Now
		c.check(r, State{})
		onlySet(t, c.syncer.Dir+"/misp")
	})
}
