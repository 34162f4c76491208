package export

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// manager is the API of a Wazuh manager: answers by method and path.
func manager(t *testing.T, answers map[string]func(w http.ResponseWriter)) (api API, asked *[]string) {
	t.Helper()
	asked = &[]string{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what := r.Method + " " + r.URL.Path
		*asked = append(*asked, what)
		user, password, _ := r.BasicAuth()
		switch login := what == "POST /security/user/authenticate"; {
		case login && (user != "misp" || password != "secret"), !login && r.Header.Get("Authorization") != "Bearer token":
			w.WriteHeader(http.StatusUnauthorized)
		case login:
			_, _ = io.WriteString(w, "token\n")
		case answers[what] == nil:
			w.WriteHeader(http.StatusNotFound)
		default:
			answers[what](w)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return API{URL: s.URL, User: "misp", Password: "secret", Certificate: cert}, asked
}

// otherCertificate is one that no server here shows.
func otherCertificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestReload(t *testing.T) {
	t.Parallel()
	says := func(code int, text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(code); _, _ = io.WriteString(w, text) }
	}
	const (
		cluster, single = "PUT /cluster/analysisd/reload", "PUT /manager/analysisd/reload"
		login           = "POST /security/user/authenticate"
		good            = `{"data":{"affected_items":[{"name":"manager","msg":"Ruleset reload request sent successfully."}],"failed_items":[]},"error":0}`
		noCluster       = `{"title":"Bad Request","detail":"Cluster is not running, it might be disabled","error":3013}`
	)
	for name, tt := range map[string]struct {
		answers  map[string]func(http.ResponseWriter)
		change   func(*API)
		asked    []string
		warnings []string
		fault    string
	}{
		"cluster": {answers: map[string]func(http.ResponseWriter){cluster: says(200, good)}, asked: []string{login, cluster}},
		"manager": {
			answers: map[string]func(http.ResponseWriter){cluster: says(400, noCluster), single: says(200, good)}, asked: []string{login, cluster, single},
		},
		"warnings": {
			answers: map[string]func(http.ResponseWriter){cluster: says(200, strings.Replace(good, "sent successfully", "done with warnings: list x", 1))},
			asked:   []string{login, cluster}, warnings: []string{"manager: Ruleset reload request done with warnings: list x."},
		},
		"a node fails": {
			answers: map[string]func(http.ResponseWriter){cluster: says(200, `{"data":{"affected_items":[],"failed_items":[{"error":{"message":"rules are wrong"},"id":["node-2"]}]}}`)},
			asked:   []string{login, cluster}, fault: "node-2 did not reload: rules are wrong",
		},
		"before 4.13": {asked: []string{login, cluster}, fault: "restart it: systemctl restart wazuh-manager"},
		"no right":    {answers: map[string]func(http.ResponseWriter){cluster: says(403, "")}, asked: []string{login, cluster}, fault: "needs manager:ruleset_reload"},
		"password":    {change: func(a *API) { a.Password = "x" }, asked: []string{login}, fault: "refuses user misp; is the password right?"},
		"not JSON":    {answers: map[string]func(http.ResponseWriter){cluster: says(200, "<html>")}, asked: []string{login, cluster}, fault: "not JSON"},
		"another certificate": {
			change: func(a *API) { a.Certificate = otherCertificate(t) }, fault: "another certificate than that of --wazuh-api-cert",
		},
		"no certificate": {change: func(a *API) { a.Certificate = []byte("x") }, fault: "holds no certificate"},
		"not trusted":    {change: func(a *API) { a.Certificate = nil }, fault: "certificate"},
		"absent":         {change: func(a *API) { a.URL = "https://127.0.0.1:1" }, fault: "is wazuh-apid running"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api, asked := manager(t, tt.answers)
			if tt.change != nil {
				tt.change(&api)
			}
			warnings, err := api.Reload(t.Context())
			if (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("error %v, want %q", err, tt.fault)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows the password: %v", err)
			}
			if diff := cmp.Diff(tt.warnings, warnings); diff != "" {
				t.Error(diff)
			}
			if !slices.Equal(*asked, tt.asked) {
				t.Errorf("asked %v, want %v", *asked, tt.asked)
			}
		})
	}
}
