package export

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// This file has analysisd load rules and lists anew, by the API of Wazuh's manager (4.13 and later): PUT
// /cluster/analysisd/reload on a cluster, PUT /manager/analysisd/reload on a single manager.

// An API is that of Wazuh's manager.
type API struct {
	URL, User, Password string
	// Certificate is what the manager shows, in PEM: by default it signs its own, for another name. Without it, the system's
	// authorities count.
	Certificate []byte
}

const (
	reloadTime   = 30 * time.Second
	maxAPIAnswer = 1 << 20
)

// Reload has analysisd load rules and lists anew, on all nodes of a cluster. warnings are what analysisd says about them. The
// error says what to restart if the API has no reload.
func (a API) Reload(ctx context.Context) (warnings []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	token, code, err := a.ask(ctx, client, http.MethodPost, "/security/user/authenticate?raw=true", "")
	switch {
	case err != nil:
		return nil, err
	case code == http.StatusUnauthorized:
		return nil, fmt.Errorf("the API at %s refuses user %s; is the password right?", a.URL, a.User)
	case code != http.StatusOK:
		return nil, fmt.Errorf("the API at %s answered %d to a login", a.URL, code)
	}
	for _, path := range []string{"/cluster/analysisd/reload", "/manager/analysisd/reload"} {
		data, code, err := a.ask(ctx, client, http.MethodPut, path, string(bytes.TrimSpace(token)))
		switch {
		case err != nil:
			return nil, err
		case code == http.StatusOK:
			return reloaded(data)
		case code == http.StatusNotFound:
			return nil, errors.New("this manager cannot reload its rules by the API (Wazuh 4.13 and later can); restart it: " +
				"systemctl restart wazuh-manager, or in a container the container; agents connect again")
		case code == http.StatusForbidden:
			return nil, fmt.Errorf("user %s of the API may not reload: it needs manager:ruleset_reload or cluster:ruleset_reload", a.User)
		case path == "/cluster/analysisd/reload" && code == http.StatusBadRequest:
			continue // no cluster
		default:
			return nil, fmt.Errorf("the API at %s answered %d to %s: %.200s", a.URL, code, path, data)
		}
	}
	return nil, fmt.Errorf("the API at %s reloads neither cluster nor manager; restart it: systemctl restart wazuh-manager", a.URL)
}

// reloaded reads the answer to a reload.
func reloaded(data []byte) (warnings []string, err error) {
	var answer struct {
		Data struct {
			Items []struct {
				Name string `json:"name"`
				Msg  string `json:"msg"`
			} `json:"affected_items"`
			Failed []struct {
				Error struct {
					Message string `json:"message"`
				} `json:"error"`
				ID []string `json:"id"`
			} `json:"failed_items"`
		} `json:"data"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, fmt.Errorf("the API's answer to a reload is not JSON: %w", err)
	}
	for _, f := range answer.Data.Failed {
		err = errors.Join(err, fmt.Errorf("%s did not reload: %s", strings.Join(f.ID, ", "), f.Error.Message))
	}
	for _, i := range answer.Data.Items {
		if strings.Contains(strings.ToLower(i.Msg), "warning") {
			warnings = append(warnings, i.Name+": "+i.Msg)
		}
	}
	return warnings, err
}

func (a API) ask(ctx context.Context, client *http.Client, method, path, token string) (data []byte, code int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(a.URL, "/")+path, nil)
	if err != nil {
		return nil, 0, err
	}
	if token == "" {
		req.SetBasicAuth(a.User, a.Password)
	} else {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("the API of Wazuh: %w; is wazuh-apid running, and --wazuh-api right?", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	data, err = io.ReadAll(io.LimitReader(resp.Body, maxAPIAnswer))
	return data, resp.StatusCode, err
}

// client returns one that trusts the certificate of the manager, and no other if there is one.
func (a API) client() (*http.Client, error) {
	t := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if len(a.Certificate) > 0 {
		block, _ := pem.Decode(a.Certificate)
		if block == nil {
			return nil, errors.New("--wazuh-api-cert holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
		}
		known, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("--wazuh-api-cert: %w", err)
		}
		t.TLSClientConfig.InsecureSkipVerify = true //nolint:gosec // VerifyConnection compares the whole certificate
		t.TLSClientConfig.VerifyConnection = func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !s.PeerCertificates[0].Equal(known) {
				return errors.New("the manager shows another certificate than that of --wazuh-api-cert")
			}
			return nil
		}
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}
