package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"custom-misp/engine/enrich"
)

// keyRing are the keys of a client: the one in use, and those that took its place before. A key is exchanged without a gap
// when MISP refuses the one in use and takes another.
type keyRing struct {
	others func() []string // reads the keys anew; nil for none

	mu    sync.Mutex
	used  string
	known []string // all that were ever tried, for errors
}

func newKeyRing(key string, others func() []string) *keyRing {
	return &keyRing{others: others, used: key, known: []string{key}}
}

// current returns the key in use.
func (k *keyRing) current() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.used
}

// use makes a key the one in use.
func (k *keyRing) use(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.used = key
}

// besides returns the other keys that may be valid, read anew.
func (k *keyRing) besides(key string) []string {
	if k.others == nil {
		return nil
	}
	var list []string
	for _, other := range k.others() {
		if other != key && validKey(other) {
			list = append(list, other)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, other := range list {
		if !slices.Contains(k.known, other) {
			k.known = append(k.known, other)
		}
	}
	return list
}

// without masks all keys in a text.
func (k *keyRing) without(text string) string {
	if k == nil { // of a zero Client
		return text
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.known {
		text = withoutKey(text, key)
	}
	return text
}

func validKey(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' })
}

// do asks with the key in use, and if MISP refuses it, with the others. The error is that of the key in use unless another
// one is taken.
func (c *Client) do(ctx context.Context, method, path string, body []byte) ([]byte, http.Header, error) {
	if c.http == nil {
		return nil, nil, &enrich.Trouble{Code: enrich.CodeConfig, Err: errNotMade, Remedy: "make it with api.New"}
	}
	key := c.keys.current()
	data, header, status, err := c.send(ctx, method, path, body, key)
	if err == nil || status != http.StatusUnauthorized && status != http.StatusForbidden {
		return data, header, err
	}
	for _, other := range c.keys.besides(key) {
		data, header, status, otherErr := c.send(ctx, method, path, body, other)
		if status != 0 && status != http.StatusUnauthorized && status != http.StatusForbidden {
			c.keys.use(other)
			return data, header, otherErr
		}
	}
	return nil, nil, err
}
