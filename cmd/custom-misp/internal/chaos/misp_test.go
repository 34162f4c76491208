package chaos

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"custom-misp/misp/misptest"
)

// knownHosts is how many values each source knows.
const knownHosts = 100

// hosts returns the values that a source knows: misp, feed or list.
func hosts(source string) (list []string) {
	for i := range knownHosts {
		list = append(list, fmt.Sprintf("k-%d.%s.bad.example", i, source))
	}
	return list
}

// eventUUID returns the uuid of the event of a source.
func eventUUID(source string) string {
	return fmt.Sprintf("00000000-0000-4000-8000-%012x", source[:4])
}

type object = map[string]any

// sourceEvent is an event with the values of a source, and one more that changes.
func sourceEvent(source string, version int64) object {
	var attributes []object
	for i, host := range append(hosts(source), fmt.Sprintf("later-%d.%s.bad.example", version, source)) {
		attributes = append(attributes, object{
			"uuid": fmt.Sprintf("00000000-0000-4000-%s-%012d", map[string]string{"misp": "9000", "feed": "a000"}[source], i),
			"type": "hostname", "category": "Network activity", "value": host, "to_ids": true, "timestamp": strconv.FormatInt(1790000000+version, 10),
		})
	}
	event := entry(source, version)
	event["uuid"], event["Attribute"] = eventUUID(source), attributes
	return event
}

// entry is what a manifest says of an event.
func entry(source string, version int64) object {
	return object{
		"info": "known to " + source, "date": "2026-01-05", "timestamp": strconv.FormatInt(1790000000+version, 10),
		"published": true, "analysis": "2", "threat_level_id": "1",
	}
}

// knownToMISP is what the server of a round knows, in feed format.
func knownToMISP() fs.FS {
	data, err := json.Marshal(object{"Event": sourceEvent("misp", 0)})
	if err != nil {
		panic(err)
	}
	return fstest.MapFS{"event.json": {Data: data}}
}

// A feedServer is a site that publishes a feed.
type feedServer struct {
	*httptest.Server
	version atomic.Int64
	fault   atomic.Pointer[http.HandlerFunc]
}

const manifestPath = "/manifest.json"

func newFeedServer(t *testing.T) *feedServer {
	f := &feedServer{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if bad := f.fault.Load(); bad != nil {
			(*bad)(w, r)
			return
		}
		f.answer(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// change publishes the feed anew.
func (f *feedServer) change() { f.version.Add(1) }

func (f *feedServer) answer(w http.ResponseWriter, r *http.Request) {
	var content any
	switch version := f.version.Load(); r.URL.Path {
	case manifestPath:
		content = object{eventUUID("feed"): entry("feed", version)}
	case "/" + eventUUID("feed") + ".json":
		content = object{"Event": sourceEvent("feed", version)}
	default:
		http.NotFound(w, r)
		return
	}
	data, err := json.Marshal(content)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data)
}

// A misbehaviour answers in the place of a server. right is what would answer otherwise. None of them is an answer in the
// form of an empty one: that would be true for the program.
type misbehaviour func(w http.ResponseWriter, r *http.Request, right http.HandlerFunc)

const (
	htmlPage = "<html><body>Bad Gateway</body></html>"
	many     = 24 << 20 // bytes of an answer that is too long
)

// misbehaviours are those of any server, by the last part of their names.
func misbehaviours() map[string]misbehaviour {
	return map[string]misbehaviour{
		"down": func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.(*net.TCPConn).SetLinger(0)
				_ = conn.Close()
			}
		},
		"500":  fixed(http.StatusInternalServerError, "application/json", `{"name":"An Internal Error Has Occurred."}`),
		"html": fixed(http.StatusOK, "text/html", htmlPage),
		"slow": func(w http.ResponseWriter, r *http.Request, right http.HandlerFunc) {
			select {
			case <-r.Context().Done():
			case <-time.After(700 * time.Millisecond):
				right(w, r)
			}
		},
		"hang": func(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { <-r.Context().Done() },
		"half": func(w http.ResponseWriter, r *http.Request, right http.HandlerFunc) {
			body := recorded(r, right)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
			_, _ = w.Write(body[:len(body)/2])
			panic(http.ErrAbortHandler)
		},
		"cut": func(w http.ResponseWriter, r *http.Request, right http.HandlerFunc) {
			body := recorded(r, right)
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(body[:len(body)/2])
		},
		"huge": func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"response":{"Attribute":[{}`)
			block := bytes.Repeat([]byte(",{}"), 1<<14)
			for sent := 0; sent < many; sent += len(block) {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		},
		"deep": fixed(http.StatusOK, "application/json", `{"response":{"Attribute":`+strings.Repeat(`[{"a":`, 200_000)),
		"endless": func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
			w.Header().Set("Content-Type", "application/json")
			for {
				if _, err := io.WriteString(w, " "); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(30 * time.Millisecond):
				}
			}
		},
		"bomb": func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb())
		},
	}
}

// mispMisbehaviours are those of MISP alone.
func mispMisbehaviours() map[string]misbehaviour {
	return map[string]misbehaviour{
		"401": fixed(http.StatusUnauthorized, "text/html", htmlPage),
		"403": func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			misptest.Message(w, http.StatusForbidden, misptest.NoPermission)
		},
		"429": func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			w.Header().Set("Retry-After", "2")
			misptest.Message(w, http.StatusTooManyRequests, "no")
		},
		"login": func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
			http.Redirect(w, r, "/users/login", http.StatusFound)
		},
	}
}

func fixed(status int, kind, body string) misbehaviour {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// recorded returns the body of the right answer.
func recorded(r *http.Request, right http.HandlerFunc) []byte {
	rec := httptest.NewRecorder()
	right(rec, r)
	return rec.Body.Bytes()
}

// bomb is a small body that unpacks to a long one, the start of an answer.
var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, `{"response":`)
	blanks := bytes.Repeat([]byte(" "), 1<<20)
	for range 4 * many / len(blanks) {
		_, _ = w.Write(blanks)
	}
	_ = w.Close()
	return b.Bytes()
})

// mispFaults are those of MISP and of the feed.
func mispFaults() (list []fault) {
	add := func(lane string, all map[string]misbehaviour, set func(*round, *http.HandlerFunc), right func(*round) http.HandlerFunc) {
		names := slices.Sorted(maps.Keys(all))
		begin := func(choose func(*rand.Rand) misbehaviour) func(*round, *rand.Rand) func() {
			return func(r *round, chance *rand.Rand) func() {
				var mu sync.Mutex
				lasts, end := context.WithCancel(context.Background())
				handler := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
					mu.Lock()
					m := choose(chance)
					mu.Unlock()
					if lane == laneFeed && q.URL.Path != manifestPath && !r.plan.has("feed-events") {
						m = all["down"]
					}
					ctx, cancel := context.WithCancel(q.Context())
					defer cancel()
					defer context.AfterFunc(lasts, cancel)() // who hangs does not do so for ever
					m(w, q.WithContext(ctx), right(r))
					if ctx.Err() != nil {
						panic(http.ErrAbortHandler)
					}
				})
				set(r, &handler)
				return func() { set(r, nil); end() }
			}
		}
		for _, name := range names {
			list = append(list, fault{
				name: lane + "-" + name, lane: lane, least: 200 * time.Millisecond, most: 5 * time.Second,
				begin: begin(func(*rand.Rand) misbehaviour { return all[name] }),
			})
		}
		list = append(list, fault{
			name: lane + "-mixed", lane: lane, least: time.Second, most: 6 * time.Second,
			begin: begin(func(chance *rand.Rand) misbehaviour {
				if chance.IntN(2) == 0 {
					return func(w http.ResponseWriter, r *http.Request, right http.HandlerFunc) { right(w, r) }
				}
				return all[names[chance.IntN(len(names))]]
			}),
		})
	}
	misp := misbehaviours()
	maps.Copy(misp, mispMisbehaviours())
	add(laneMISP, misp, func(r *round, h *http.HandlerFunc) {
		if h == nil {
			r.misp.Fault(nil)
			return
		}
		r.misp.Fault(*h)
	}, func(r *round) http.HandlerFunc { return r.misp.Answer })
	add(laneFeed, misbehaviours(), func(r *round, h *http.HandlerFunc) { r.feed.fault.Store(h) },
		func(r *round) http.HandlerFunc { return r.feed.answer })
	return append(list, fault{name: "feed-events", off: "an event of a feed that comes as HTML or broken JSON is dropped from the mirror, if the feed is read as a whole"},
		fault{name: "late"},
	)
}
