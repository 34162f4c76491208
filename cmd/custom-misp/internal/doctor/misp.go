package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp/api"
)

const (
	certificateSoon = 14 * 24 * time.Hour // a certificate that ends sooner is reported
	clockOff        = time.Minute         // a difference of clocks that is reported
	clockWrong      = 5 * time.Minute     // one that alerts and indicators cannot be compared under
)

// A visit is a way to MISP, step by step. Each step needs what the ones before it found.
type visit struct {
	*examination
	server app.Server
	url    *url.URL
	proxy  *url.URL // nil for none
	conn   net.Conn
	client *api.Client
	about  api.About
	err    error // of About
}

// checkMISP goes to each MISP server step by step, all of it within the time of a call, so that of "it does not work" there is
// left: which step.
func (i *examination) checkMISP(ctx context.Context) []Finding {
	if dir := i.config.FeedDir; dir != "" {
		if lookupErr, ok := errors.AsType[*app.LookupError](i.buildErr); ok {
			return []Finding{problem("see custom-misp config for feed.dir", "%v", lookupErr)}
		}
		return []Finding{skipped("the feed in %s is looked up in, and can be read", dir)}
	}
	servers := i.servers()
	if len(servers) == 1 && !servers[0].Declared() {
		return i.visit(ctx, servers[0])
	}
	var findings []Finding
	for _, s := range servers {
		for _, f := range i.visit(ctx, s) {
			f.Server, f.Found = s.Name, s.Name+": "+f.Found
			findings = append(findings, f)
		}
	}
	return findings
}

// servers returns the MISP servers that are configured; one without an address if there is none.
func (i *examination) servers() []app.Server {
	servers, err := app.Servers(i.config)
	if err != nil { // which checkConfiguration says
		return []app.Server{{Name: "misp", MISP: i.config.MISP}}
	}
	return servers
}

// visit goes to one MISP server.
func (i *examination) visit(ctx context.Context, server app.Server) []Finding {
	u, err := url.Parse(server.URL)
	if err != nil || u.Hostname() == "" {
		return []Finding{skipped("there is no address of MISP to go to")}
	}
	ctx, cancel := context.WithTimeout(ctx, i.config.Timeout)
	defer cancel()
	v := &visit{examination: i, url: u, server: server}
	through := app.Proxy(server.MISP)
	if through == nil {
		through = http.ProxyFromEnvironment
	}
	v.proxy, _ = through(&http.Request{URL: u})
	defer func() {
		if v.conn != nil {
			_ = v.conn.Close()
		}
	}()
	var findings []Finding
	failed := ""
	for _, step := range i.stepsToMISP(server) {
		f := skipped("not tried, see %s", failed)
		if failed == "" {
			f = step.look(v, ctx)
			if step.on && f.Status == StatusProblem {
				failed = step.id
			}
		}
		f.Check = step.id
		findings = append(findings, f)
	}
	return findings
}

// A mispStep is a part of the way to MISP.
type mispStep struct {
	id   string
	on   bool // what comes after it needs it
	look func(*visit, context.Context) Finding
}

// stepsToMISP returns the steps of a visit: all the endpoints of MISP that the configuration needs are among them.
func (i *examination) stepsToMISP(server app.Server) []mispStep {
	steps := []mispStep{
		{"misp-name", true, (*visit).lookName},
		{"misp-connect", true, (*visit).lookConnect},
		{"misp-tls", true, (*visit).lookTLS},
		{"misp-key", true, (*visit).lookKey},
		{"misp-role", false, (*visit).lookRole},
		{"misp-clock", false, (*visit).lookClock},
		{"misp-search", false, (*visit).lookSearch},
	}
	if server.Mirrored && i.config.Lookup.Policy != config.PolicyLive {
		steps = append(steps, mispStep{"misp-events", false, (*visit).lookEvents}, mispStep{"misp-walk", false, (*visit).lookWalk})
	}
	if server.Sightings {
		steps = append(steps, mispStep{"misp-sightings", false, (*visit).lookSightings})
	}
	return steps
}

// address returns MISP's host and port.
func (v *visit) address() string {
	port := v.url.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[v.url.Scheme]
	}
	return net.JoinHostPort(v.url.Hostname(), port)
}

// one bounds a step that stands for one try.
func (v *visit) one(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, v.server.Timeout)
}

func (v *visit) lookName(ctx context.Context) Finding {
	host := v.url.Hostname()
	switch {
	case v.proxy != nil && v.server.Proxy != "":
		return skipped("the proxy %s looks it up", v.proxy.Host)
	case v.proxy != nil:
		return skipped("the proxy %s of this shell's environment is used; does integratord have it in its own?", v.proxy.Host)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return good("%s is an address already", host)
	}
	ctx, cancel := v.one(ctx)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return problem("getent hosts "+host, "the name %s in %s is not found: %s", host, v.server.Key("url"), reason(err))
	}
	return good("%s is %s", host, strings.Join(addresses, " "))
}

func (v *visit) lookConnect(ctx context.Context) Finding {
	if v.proxy != nil {
		return skipped("through the proxy %s", v.proxy.Host)
	}
	ctx, cancel := v.one(ctx)
	defer cancel()
	start := v.now()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", v.address())
	if err != nil {
		return problem("curl -v "+v.url.Scheme+"://"+v.address(),
			"no connection to %s: %s", v.address(), reason(err))
	}
	v.conn = conn
	return good("%s in %s", v.address(), shownTime(v.now().Sub(start)))
}

// lookTLS looks at the certificate, and asks MISP about itself already: whether the certificate is trusted, with
// the authorities and pins of the settings, the client knows.
func (v *visit) lookTLS(ctx context.Context) Finding {
	var clientErr error
	v.client, clientErr = app.ClientOf(v.config, v.server, v.server.Timeout, cli.NoLog())
	if clientErr == nil {
		v.about, v.err = v.client.About(ctx)
	}
	if v.url.Scheme == "http" {
		return warning("set "+v.server.Key("url")+" to an address with https://", "none: the key travels in the clear")
	}
	leaf := v.certificate(ctx)
	shown := "no certificate was shown"
	if v.proxy != nil {
		shown = "through the proxy " + v.proxy.Host
	}
	left := time.Duration(0)
	if leaf != nil {
		left = leaf.NotAfter.Sub(v.now())
		shown = fmt.Sprintf("certificate of %s, issued by %s, good for %s more", leaf.Subject, leaf.Issuer, cli.Plural(max(0, int(left.Hours()/24)), "day"))
	}
	trouble, ok := errors.AsType[*enrich.Trouble](v.err)
	switch {
	case ok && trouble.Code == enrich.CodeTLS:
		remedy := trouble.Remedy
		if leaf != nil {
			remedy += ", which this shows: openssl s_client -connect " + v.address() + " -showcerts </dev/null"
		}
		return problem(remedy, "%v; %s", trouble.Err, shown)
	case clientErr != nil:
		return skipped("%s; whether it is trusted was not tried", shown)
	case v.server.InsecureSkipVerify:
		return warning("set "+v.server.Key("ca_file")+", and take "+v.server.Key("insecure_skip_verify")+" out",
			"%s; it is not checked, so somebody in between can read the key", shown)
	case leaf != nil && left < certificateSoon:
		return warning("renew MISP's certificate", "%s", shown)
	}
	return good("%s", shown)
}

// certificate returns the certificate that MISP shows, trusted or not; nil if there is none to see.
func (v *visit) certificate(ctx context.Context) *x509.Certificate {
	if v.conn == nil {
		return nil
	}
	ctx, cancel := v.one(ctx)
	defer cancel()
	conn := tls.Client(v.conn, &tls.Config{
		ServerName: v.url.Hostname(), MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // to look at it; nothing is sent
	})
	if conn.HandshakeContext(ctx) != nil || len(conn.ConnectionState().PeerCertificates) == 0 {
		return nil
	}
	return conn.ConnectionState().PeerCertificates[0]
}

func (v *visit) lookKey(ctx context.Context) Finding {
	if v.client == nil {
		_, err := app.ClientOf(v.config, v.server, v.server.Timeout, cli.NoLog())
		f := problemOf(err, v.command("config"))
		if key, err := v.server.MISP.Key.Read(); v.server.MISP.Key.File != "" && (errors.Is(err, fs.ErrNotExist) || err == nil && key == "") {
			f.Remedy = v.fillKey(v.server.MISP.Key.File)
		}
		return f
	}
	if v.err != nil {
		return mispProblem(v.err)
	}
	if keys, err := v.server.MISP.Key.ReadAll(); err == nil && len(keys) > 1 {
		return v.lookKeys(ctx, keys)
	}
	return good("accepted by MISP %s", v.about.Version)
}

// lookKeys tries each of two keys by itself.
func (v *visit) lookKeys(ctx context.Context, keys []string) Finding {
	file := v.server.MISP.Key.File
	refused := make([]bool, len(keys))
	for n, key := range keys {
		client, err := app.ClientWithKey(v.server, key)
		if err == nil {
			_, err = client.About(ctx)
			client.Close()
		}
		refused[n] = err != nil
	}
	switch {
	case refused[0]:
		return warning("sed -i 1d "+file, "MISP refuses the first key in %s and takes the second", file)
	case refused[1]:
		return warning("sed -i 2d "+file, "MISP takes the first key in %s and refuses the second, which is to take its place", file)
	}
	return good("both keys are accepted by MISP %s", v.about.Version)
}

func (v *visit) lookRole(context.Context) Finding {
	role := v.about.Role
	if role == nil {
		return skipped("MISP does not tell the role of the key's user")
	}
	switch {
	case !role.Auth:
		return problem("give the role perm_auth in MISP: Administration, List Roles", "the role %q must not use the API", role.Name)
	case role.RateLimit >= 0:
		return warning("raise it, or take it away, in MISP: Administration, List Roles",
			"the role %q has a limit of %d searches in 15 minutes; each alert is one", role.Name, role.RateLimit)
	case role.Change:
		return warning("give the key's user a role that only reads", "the role %q may change MISP, which is more than is needed", role.Name)
	}
	return good("%q, which may read%s", role.Name, map[bool]string{true: " and add sightings"}[v.about.Sighting])
}

func (v *visit) lookClock(context.Context) Finding {
	if v.about.Date.IsZero() {
		return skipped("MISP's answers have no date")
	}
	off := v.about.Date.Sub(v.now()).Round(time.Second)
	shown := shownTime(off.Abs())
	if off < 0 {
		shown += " behind"
	} else {
		shown += " ahead"
	}
	const remedy = "timedatectl"
	switch {
	case off.Abs() > clockWrong:
		return problem(remedy, "MISP's clock is %s", shown)
	case off.Abs() > clockOff:
		return warning(remedy, "MISP's clock is %s", shown)
	}
	return good("MISP's clock is ours, to the minute")
}

// lookSearch asks what an alert would ask: for a name that cannot be anybody's.
func (v *visit) lookSearch(ctx context.Context) Finding {
	const name = "doctor.custom-misp.invalid"
	start := v.now()
	_, err := v.client.Lookup(ctx, []engine.Observable{{
		Type: "hostname", Value: name, Picks: []engine.Pick{{Mapping: "doctor", Type: "hostname"}},
	}})
	took := v.now().Sub(start)
	if err != nil {
		return mispProblem(err)
	}
	if limit := v.server.Timeout; took > limit/2 {
		return warning("see why MISP is slow, or raise "+v.slowKey(),
			"a question took %s, of the %s that %s gives it", shownTime(took), limit, v.server.Key("timeout"))
	}
	return good("a question took %s", shownTime(took))
}

// slowKey returns where more time can be given.
func (v *visit) slowKey() string {
	if v.server.Declared() {
		return v.server.Key("timeout")
	}
	return "misp.timeout in " + filepath.Join(v.Home, "etc", "custom-misp.yaml")
}

// reason returns the innermost words of a network error: the rest repeats what was asked for.
func reason(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.Err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}
