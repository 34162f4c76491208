package api_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
)

// takesKeys is a MISP that takes some keys and counts the questions with each.
type takesKeys struct {
	*httptest.Server
	taken  atomic.Pointer[map[string]bool]
	asked  atomic.Pointer[[]string]
	status int // of a refusal
}

func newTakesKeys(t *testing.T, status int, keys ...string) *takesKeys {
	m := &takesKeys{status: status}
	m.take(keys...)
	m.asked.Store(&[]string{})
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Authorization")
		asked := append(*m.asked.Load(), key)
		m.asked.Store(&asked)
		w.Header().Set("Content-Type", "application/json")
		if !(*m.taken.Load())[key] {
			w.WriteHeader(m.status)
			_, _ = w.Write([]byte(`{"message":"Authentication failed for ` + key + `"}`))
			return
		}
		_, _ = w.Write([]byte(`{"version":"2.5.8"}`))
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *takesKeys) take(keys ...string) {
	taken := map[string]bool{}
	for _, key := range keys {
		taken[key] = true
	}
	m.taken.Store(&taken)
}

// TestKeyExchange has a client take the next key when MISP refuses the one in use, stay with it, and read the keys anew when
// that is refused too.
func TestKeyExchange(t *testing.T) {
	t.Parallel()
	const one, two, three = "key-number-one", "key-number-two", "key-number-three"
	for _, status := range []int{http.StatusForbidden, http.StatusUnauthorized} {
		m := newTakesKeys(t, status, one)
		file := atomic.Pointer[[]string]{}
		file.Store(&[]string{one, two})
		client, err := api.New(api.Config{URL: m.URL, Key: one, Keys: func() []string { return *file.Load() }})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(want ...string) {
			t.Helper()
			m.asked.Store(&[]string{})
			_, err := client.About(t.Context())
			if err != nil {
				t.Error(err)
			}
			if got := (*m.asked.Load())[:len(want)]; strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("asked with %v, want %v first", got, want)
			}
		}
		ask(one)
		m.take(two) // the first key is withdrawn in MISP
		ask(one, two)
		ask(two)
		m.take(three) // a key that was not in the file when the client was made
		file.Store(&[]string{three})
		ask(two, three)
		ask(three)

		m.take()
		file.Store(&[]string{three, one, "not a key\n"})
		_, err = client.About(t.Context())
		trouble, ok := errors.AsType[*enrich.Trouble](err)
		if !ok || trouble.Code != enrich.CodeUnauthorized {
			t.Fatalf("all keys are refused: %v", err)
		}
		for _, key := range []string{one, two, three} {
			if strings.Contains(err.Error(), key) {
				t.Errorf("the error shows a key: %v", err)
			}
		}
		client.Close()
	}
}

// TestProxy has questions go to the proxy that the configuration names.
func TestProxy(t *testing.T) {
	t.Parallel()
	var through atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host == "misp.example.org" {
			through.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"version":"2.5.8"}`))
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	client, err := api.New(api.Config{URL: "http://misp.example.org", Key: "key-number-one", Proxy: http.ProxyURL(at)})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.About(t.Context()); err != nil || through.Load() == 0 {
		t.Errorf("%d questions went through the proxy, %v", through.Load(), err)
	}
}
