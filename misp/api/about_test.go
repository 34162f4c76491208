package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
	"custom-misp/misp/misptest"
)

// TestAbout takes what a MISP says of itself, in the forms that its versions have.
func TestAbout(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, 3, 1, 4, 5, 6, 0, time.UTC)
	const version = `{"version":"2.5.8","perm_sync":false,"perm_sighting":true}`
	tests := []struct {
		name, version, user string
		userStatus          int
		want                api.About
	}{
		{
			"read only", version, `{"Role":{"name":"Read Only","perm_auth":true,"perm_add":false,"enforce_rate_limit":false,"rate_limit_count":"0"}}`, 200,
			api.About{Version: "2.5.8", Sighting: true, Date: date, Role: &api.Role{Name: "Read Only", Auth: true, RateLimit: -1}},
		},
		{
			"flags as texts, a rate limit", `{"version":"2.4.170"}`, `{"Role":{"name":"admin\u001b[31m","perm_auth":"1","perm_site_admin":"1","enforce_rate_limit":"1","rate_limit_count":"5000"}}`, 200,
			api.About{Version: "2.4.170", Date: date, Role: &api.Role{Name: "admin [31m", Auth: true, Change: true, RateLimit: 5000}},
		},
		{"role not told", version, `{"message":"no"}`, 403, api.About{Version: "2.5.8", Sighting: true, Date: date}},
		{"no role in it", version, `[]`, 200, api.About{Version: "2.5.8", Sighting: true, Date: date}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := misptest.New(t, feed())
			server.Fault(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json; charset=UTF-8")
				w.Header().Set("Date", date.Format(http.TimeFormat))
				answer := tt.version
				if strings.HasSuffix(r.URL.Path, "/users/view/me") {
					w.WriteHeader(tt.userStatus)
					answer = tt.user
				}
				fmt.Fprint(w, answer)
			})
			got, err := client(t, nil, server.URL+"/misp").About(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("about (-want +got):\n%s", diff)
			}
			for _, r := range server.Requests() {
				if r.Header.Get("Authorization") != misptest.Key || r.Body != nil {
					t.Errorf("asked with %v, %v", r.Header, r.Body)
				}
			}
		})
	}
}

func TestAboutTrouble(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault http.HandlerFunc
		code  enrich.Code
	}{
		{"key refused", func(w http.ResponseWriter, _ *http.Request) { misptest.Message(w, 403, "no") }, enrich.CodeUnauthorized},
		{"login page", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/users/login", http.StatusFound) }, enrich.CodeUnavailable},
		{"another program", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"status":"UP"}`)
		}, enrich.CodeBadAnswer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := misptest.New(t, feed())
			server.Fault(tt.fault)
			_, err := client(t, nil, server.URL).About(t.Context())
			trouble, ok := errors.AsType[*enrich.Trouble](err)
			if !ok || trouble.Code != tt.code || trouble.Remedy == "" || strings.Contains(err.Error(), misptest.Key) {
				t.Errorf("error %v, want %s", err, tt.code)
			}
			if n := len(server.Requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestAboutBundled asks the server that other tests use.
func TestAboutBundled(t *testing.T) {
	t.Parallel()
	got, err := client(t, nil, misptest.New(t, feed()).URL).About(t.Context())
	want := &api.Role{Name: "Read Only", Auth: true, RateLimit: -1}
	if err != nil || got.Version == "" || got.Date.IsZero() || !cmp.Equal(got.Role, want) {
		t.Errorf("%+v, %v", got, err)
	}
}
