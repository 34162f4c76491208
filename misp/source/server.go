package source

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/yamlfile"
	"custom-misp/misp/api"
	"custom-misp/misp/mirror"
)

const (
	// MaxServers is how many servers may be declared: each alert is looked up in all of them.
	MaxServers = 8
	// maxServerName is how long a name may be, in characters: the names of all stand in one name of a file.
	maxServerName = 20
)

// The declaration of a server, as it is written.
type declaredServer struct {
	_                  struct{}               `what:"a server"`
	Name               yamlfile.Scalar        `key:"name" need:"true" doc:"unique over all servers, sources, and the lists and feeds of the configuration; at most 20 small letters, digits, - and _. Hits have it as misp.origin"`
	Description        yamlfile.Scalar        `key:"description" doc:"what the server is, for people"`
	URL                yamlfile.Scalar        `key:"url" need:"true" doc:"address of the server, like https://misp.example.org"`
	KeyFile            yamlfile.Scalar        `key:"key_file" need:"true" doc:"file that holds the authentication key, and below it, while keys are exchanged, the next one; counted from Wazuh's directory if it is relative"`
	CAFile             yamlfile.Scalar        `key:"ca_file" doc:"certificates (PEM) to trust instead of the system's"`
	ClientCertFile     yamlfile.Scalar        `key:"client_cert_file" doc:"client certificate (PEM) to show to the server"`
	ClientKeyFile      yamlfile.Scalar        `key:"client_key_file" doc:"its private key (PEM)"`
	Pins               []yamlfile.Scalar      `key:"pins" empty:"ok" doc:"SHA-256 sums of the public keys that the server's certificate, or an authority of it, may have: sha256/BASE64"`
	InsecureSkipVerify *bool                  `key:"insecure_skip_verify" doc:"true: the server's certificate is not checked; for a laboratory only"`
	Proxy              yamlfile.Scalar        `key:"proxy" doc:"proxy on the way to it; misp.proxy and misp.no_proxy if it is left out"`
	Timeout            yamlfile.Scalar        `key:"timeout" doc:"for one try to reach it, like 5s; misp.timeout if it is left out"`
	Retries            yamlfile.Scalar        `key:"retries" doc:"further tries after the first, 0 to 100; misp.retries if it is left out"`
	Budget             yamlfile.Scalar        `key:"budget" doc:"how long the hits of other servers wait for this one, all tries together; what comes later is asked for again, and reported late. As timeout if it is left out"`
	Lookup             *engine.DeclaredFilter `key:"lookup" doc:"look-up filters of this server; a key that is left out is as configured. A mapping's own filter counts before it"`
	Mirror             *bool                  `key:"mirror" doc:"false: the mirror does not hold it. As mirror.misp if it is left out"`
	Refresh            yamlfile.Scalar        `key:"refresh" doc:"how often the mirror asks it for what is new; mirror.interval if it is left out"`
	Sightings          *bool                  `key:"sightings" doc:"false: no sightings are reported to it, although sightings.enabled is set"`
}

// A Server is a declared MISP server, checked. Paths are as declared. Fields that were left out are empty.
type Server struct {
	Name, Description  string
	URL                string
	KeyFile, CAFile    string
	ClientCertFile     string
	ClientKeyFile      string
	Pins               []string
	InsecureSkipVerify bool
	Proxy              string
	Timeout, Budget    time.Duration
	Retries            *int
	Filter             *engine.Filter // nil for the configured one
	Mirror, Sightings  *bool
	Refresh            time.Duration
	File               string // where it is declared
	Line               int
}

// reservedNames have another meaning where names of servers stand.
var reservedNames = map[string]string{
	mirror.ServerName: "that of the MISP at misp.url", "mirror": "for the whole mirror in custom-misp lookup --from",
	"live": "that of a MISP asked now", "feed": "that of feed.dir",
}

// server checks the declaration of a server.
func (c compiler) server(d declaredServer) *Server {
	s := &Server{
		Name: d.Name.Value, Description: d.Description.Value, URL: d.URL.Value, KeyFile: d.KeyFile.Value, CAFile: d.CAFile.Value,
		ClientCertFile: d.ClientCertFile.Value, ClientKeyFile: d.ClientKeyFile.Value, InsecureSkipVerify: isTrue(d.InsecureSkipVerify),
		Proxy: d.Proxy.Value, Mirror: d.Mirror, Sightings: d.Sightings, File: c.Name(), Filter: engine.ReadFilter(c.Reader, d.Lookup),
		Timeout: c.timeOf(d.Timeout, "timeout"), Budget: c.timeOf(d.Budget, "budget"), Refresh: c.timeOf(d.Refresh, "refresh"),
	}
	if d.Name.Node != nil {
		s.Line = d.Name.Node.Line
		c.serverName(d.Name)
	}
	c.address(d.URL, "url")
	c.address(d.Proxy, "proxy")
	if d.KeyFile.Given() && s.KeyFile == "" {
		c.Fault(d.KeyFile.Node, "name the file that holds the authentication key", "key_file is empty")
	}
	if d.ClientCertFile.Given() != d.ClientKeyFile.Given() {
		c.Fault(cmp.Or(d.ClientCertFile.Node, d.ClientKeyFile.Node), "give both", "a client certificate needs both client_cert_file and client_key_file")
	}
	for _, pin := range d.Pins {
		if _, err := api.ParsePin(pin.Value); err != nil {
			c.Fault(pin.Node, "", "pins: %v", err)
		}
		s.Pins = append(s.Pins, pin.Value)
	}
	if d.Retries.Given() {
		n, err := strconv.Atoi(d.Retries.Value)
		if err != nil || n < 0 || n > 100 {
			c.Fault(d.Retries.Node, "write a number from 0 to 100", "retries: %q is no such number", d.Retries.Value)
		}
		s.Retries = &n
	}
	if s.Filter != nil && s.Filter.MatchKinds != nil {
		c.Fault(d.Lookup.MatchKinds[0].Node, "set lookup.match_kinds in the configuration, for all servers", "match_kinds is no filter of a server")
	}
	return s
}

// serverName checks the name of a server.
func (c compiler) serverName(name yamlfile.Scalar) {
	if len(name.Value) > maxServerName || name.Value == "" || strings.Trim(name.Value, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		c.Fault(name.Node, "use small letters, digits, - and _, at most "+strconv.Itoa(maxServerName), "%q is no name of a server", name.Value)
	}
	if what := reservedNames[name.Value]; what != "" {
		c.Fault(name.Node, "give it another name", "the name %q is %s", name.Value, what)
	}
}

// address checks an address that is host and path alone. A fault shows nothing that may be a password.
func (c compiler) address(s yamlfile.Scalar, what string) {
	if !s.Given() {
		return
	}
	u, err := url.Parse(s.Value)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		c.Fault(s.Node, "write an address like https://misp.example.org", "%s: %q is no http(s) address", what, MaskURL(s.Value))
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		c.Fault(s.Node, "write host and path alone; the key belongs into key_file", "%s has a user, a query or a fragment", what)
	}
}

// timeOf reads a time, from 1ms to 24h; 0 if it was left out.
func (c compiler) timeOf(s yamlfile.Scalar, what string) time.Duration {
	if !s.Given() {
		return 0
	}
	d, err := time.ParseDuration(s.Value)
	if seconds, serr := strconv.Atoi(s.Value); serr == nil {
		d, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil || d < time.Millisecond || d > 24*time.Hour {
		c.Fault(s.Node, "write a time like 5s or 500ms, at most 24h", "%s: %q is no such time", what, s.Value)
	}
	return d
}

// sameURL notes a fault for a server that is declared already under another name, and for one too many.
func (c compiler) sameURL(address yamlfile.Scalar, s *Server, before []*Server) {
	if i := slices.IndexFunc(before, func(other *Server) bool { return SameServer(other.URL, s.URL) }); i >= 0 {
		c.Fault(address.Node, "keep one of them: both would report every hit", "server %q has this url already, in %s:%d", before[i].Name, before[i].File, before[i].Line)
	}
	if len(before) >= MaxServers {
		c.Fault(address.Node, "take one away, or mirror it as a feed", "there are more than %d servers", MaxServers)
	}
}

// SameServer reports whether two addresses are those of one server.
func SameServer(a, b string) bool { return serverKey(a) == serverKey(b) }

func serverKey(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	port := cmp.Or(u.Port(), map[string]string{"https": "443", "http": "80"}[strings.ToLower(u.Scheme)])
	return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) + ":" + port + strings.TrimRight(u.Path, "/")
}
