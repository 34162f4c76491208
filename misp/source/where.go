package source

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"custom-misp/engine/yamlfile"
	"custom-misp/misp/mirror"
)

// where checks url, path, headers and secrets.
func (c compiler) where(d declaredSource, s *Source) {
	if d.URL.Given() && d.Path.Given() {
		c.Fault(d.Path.Node, "keep one of them", "both url and path are given")
	}
	if d.URL.Given() && !strings.HasPrefix(s.URL, "https://") && !strings.HasPrefix(s.URL, "http://") {
		c.Fault(d.URL.Node, "write path for a file on this machine", "%q is no http(s) address", MaskURL(s.URL))
	}
	s.Headers = c.secrets(d.Headers, "headers", true)
	s.Secrets = c.secrets(d.Secrets, "secrets", false)
	for _, h := range s.Headers {
		if h.File == "" && looksSecret(h.Name) {
			c.Fault(d.Headers, "write the key into a file that only Wazuh's user and group may read: {file: etc/NAME.key}", "header %q holds a secret", h.Name)
		}
	}
	s.CAFile, s.Proxy, s.Auth = d.CAFile.Value, d.Proxy.Value, c.auth(d.Auth)
	c.proxy(d)
	for _, name := range placeholders().FindAllStringSubmatch(s.URL+s.Proxy, -1) {
		if !slices.ContainsFunc(s.Secrets, func(k Secret) bool { return k.Name == name[1] }) && (d.URL.Given() || d.Proxy.Given()) && d.Name.Given() {
			c.Fault(d.Name.Node, fmt.Sprintf("add secrets: {%s: {file: etc/NAME.key}} to the source, and write the key into this file", name[1]),
				"the address needs the secret %q, which no file has", name[1])
		}
	}
}

// auth checks how the server knows who asks.
func (c compiler) auth(d *declaredAuth) (a Auth) {
	if d == nil {
		return a
	}
	if d.User != nil && c.Resolve(d.User).Kind == yaml.ScalarNode {
		a.User = c.Resolve(d.User).Value
	} else {
		a.UserFile = c.secretFile(d.User, "user")
	}
	a.Password, a.Bearer = c.secretFile(d.Password, "password"), c.secretFile(d.Bearer, "bearer")
	place := cmp.Or(d.User, d.Password, d.Bearer)
	switch {
	case a.Bearer != "" && (d.User != nil || a.Password != ""):
		c.Fault(d.Bearer, "keep bearer, or user and password", "auth has two ways")
	case a.Bearer == "" && a.UserFile == "" && (a.User == "" || a.Password == "") && place != nil:
		c.Fault(place, "write {user: NAME, password: {file: PATH}}, or {bearer: {file: PATH}}", "auth needs a user and a password, or a token")
	case strings.ContainsAny(a.User, ":\r\n\x00"):
		c.Fault(d.User, "a user name with a colon cannot be sent with basic authentication", "user %q has a colon or a line break", a.User)
	}
	return a
}

// secretFile returns the file of a secret; empty if it is left out.
func (c compiler) secretFile(n *yaml.Node, what string) string {
	if n == nil {
		return ""
	}
	v := c.Resolve(n)
	if v.Kind == yaml.MappingNode && len(v.Content) == 2 && v.Content[0].Value == "file" && v.Content[1].Value != "" {
		return v.Content[1].Value
	}
	c.Fault(v, "write {file: PATH}, and the secret alone into this file", "%s must name a file", what)
	return ""
}

// proxy checks the address of a proxy.
func (c compiler) proxy(d declaredSource) {
	text := d.Proxy.Value
	if !d.Proxy.Given() || text == mirror.NoProxy {
		return
	}
	u, err := url.Parse(strings.ReplaceAll(strings.ReplaceAll(text, "${", "__"), "}", "__"))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5":
		c.Fault(d.Proxy.Node, "write an address like http://proxy.example.org:3128, or none", "proxy is no address")
	case u.User != nil && !placeholders().MatchString(text):
		if _, has := u.User.Password(); has {
			c.Fault(d.Proxy.Node, "write ${KEY} for it, and add secrets: {KEY: {file: etc/NAME.key}}", "proxy has a password")
		}
	}
}

// looksSecret reports whether a header carries a key.
func looksSecret(header string) bool {
	h := strings.ToLower(header)
	return strings.Contains(h, "key") || strings.Contains(h, "auth") || strings.Contains(h, "token") || h == "cookie"
}

// secrets reads a set of names, each with a text or {file: PATH}.
func (c compiler) secrets(n *yaml.Node, what string, texts bool) []Secret {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		c.Fault(n, "write KEY: VALUE, each on a line of its own", "%s must be a set of keys and values, not %s", what, yamlfile.KindOf(n))
		return nil
	}
	var list []Secret
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, v := n.Content[i], c.Resolve(n.Content[i+1])
		k := Secret{Name: name.Value}
		switch {
		case v.Kind == yaml.ScalarNode && texts:
			k.Text = v.Value
		default:
			if k.File = c.secretFile(v, name.Value+" of "+what); k.File == "" {
				continue
			}
		}
		if strings.ContainsAny(k.Name+k.Text, "\r\n\x00") {
			c.Fault(name, "", "%s has a line break", what)
			continue
		}
		list = append(list, k)
	}
	return list
}
