package source

import (
	"net/netip"
	"strings"
)

// localNames are the names of hosts files that stand for the machine itself.
var localNames = map[string]bool{
	"localhost": true, "localhost.localdomain": true, "local": true, "broadcasthost": true, "ip6-localhost": true, "ip6-loopback": true,
	"ip6-localnet": true, "ip6-mcastprefix": true, "ip6-allnodes": true, "ip6-allrouters": true, "ip6-allhosts": true, "0.0.0.0": true,
	"255.255.255.255": true, "localhost6": true, "localhost6.localdomain6": true, "localhost4": true,
}

// readHosts reads format hosts: an address, and names. The address is where the names lead to, and no indicator.
func (p *pass) readHosts(lines *lineReader) error {
	return p.eachLine(lines, hash, nil, func(l line) error {
		text, _, _ := strings.Cut(l.text, "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			return nil
		}
		if _, err := netip.ParseAddr(fields[0]); err != nil {
			return p.skip(l.number, "no address before the name", l.text)
		}
		e := entry{line: l.number, text: l.text}
		local := false
		for _, name := range fields[1:min(len(fields), maxOfEntry)] {
			if localNames[strings.ToLower(name)] {
				local = true
				continue
			}
			e.given = append(e.given, given{typ: typeHost, raw: name})
		}
		if len(e.given) == 0 && local {
			return nil
		}
		return p.add(&e)
	})
}

// readAdblock reads format adblock: ||name^ is a name and all below it.
func (p *pass) readAdblock(lines *lineReader) error {
	return p.eachLine(lines, []string{"!", "# ", "#\t", "[Adblock", "[adblock", "[uBlock", "[AdGuard"}, nil, func(l line) error {
		text := l.text
		if text == "#" || strings.HasPrefix(text, "####") {
			return nil
		}
		if strings.HasPrefix(text, "@@") {
			return p.skip(l.number, reasonException, text)
		}
		rest, ok := strings.CutPrefix(text, "||")
		name, options, closed := strings.Cut(rest, "^")
		if !ok || !closed || options != "" && options[0] != '$' && options != "|" || strings.ContainsAny(name, "/*") {
			if strings.HasPrefix(text, "#") && !strings.HasPrefix(text, "##") && !strings.HasPrefix(text, "#@#") && !strings.HasPrefix(text, "#?#") && !strings.HasPrefix(text, "#$#") {
				return nil
			}
			return p.skip(l.number, reasonNoLookup, text)
		}
		return p.add(&entry{line: l.number, text: text, given: []given{{typ: typeHost, raw: name, below: true}}})
	})
}

// readDnsmasq reads format dnsmasq: address=/name/…, server=/name/, local=/name/, also with several names.
func (p *pass) readDnsmasq(lines *lineReader) error {
	return p.eachLine(lines, hash, nil, func(l line) error {
		key, value, ok := strings.Cut(l.text, "=")
		switch key = trim(key); {
		case !ok || key != "address" && key != "server" && key != "local" && key != "ipset" && key != "nftset":
			return p.skip(l.number, reasonNoLookup, l.text)
		case !strings.HasPrefix(trim(value), "/"):
			return p.skip(l.number, reasonNoLookup, l.text)
		}
		parts := strings.Split(trim(value), "/")
		e := entry{line: l.number, text: l.text}
		for _, name := range parts[1:min(len(parts)-1, maxOfEntry)] {
			e.given = append(e.given, given{typ: typeHost, raw: strings.TrimPrefix(name, "."), below: true})
		}
		if len(parts) == 2 { // without a slash at the end
			e.given = append(e.given, given{typ: typeHost, raw: parts[1], below: true})
		}
		return p.add(&e)
	})
}

// readUnbound reads format unbound: local-zone: "name." always_null.
func (p *pass) readUnbound(lines *lineReader) error {
	return p.eachLine(lines, hash, nil, func(l line) error {
		key, value, _ := strings.Cut(l.text, ":")
		name := strings.Trim(trim(value), `"`)
		below := true
		switch trim(key) {
		case "server":
			return nil
		case "local-zone":
			var action string
			name, action, _ = strings.Cut(strings.TrimPrefix(trim(value), `"`), `"`)
			if !strings.Contains(value, `"`) {
				name, action = firstWord(trim(value))
			}
			if a := trim(action); a == "transparent" || a == "always_transparent" || a == "typetransparent" {
				return p.skip(l.number, reasonException, l.text)
			}
		case "local-data":
			name, _ = firstWord(name)
			below = false
		default:
			return p.skip(l.number, reasonNoLookup, l.text)
		}
		return p.add(&entry{line: l.number, text: l.text, given: []given{{typ: typeHost, raw: strings.TrimSuffix(name, "."), below: below}}})
	})
}

// readRPZ reads format rpz, a zone of response policies. Every record of a zone is one line here: the lists that are
// published have no other.
func (p *pass) readRPZ(lines *lineReader) error {
	open := false // a record in parentheses
	return p.eachLine(lines, []string{";", "#", "//"}, nil, func(l line) error {
		text := l.text
		if i := strings.Index(text, " ;"); i >= 0 {
			text = trim(text[:i])
		}
		if open {
			open = !strings.Contains(text, ")")
			return nil
		}
		fields := strings.Fields(text)
		if len(fields) == 0 || fields[0][0] == '$' || fields[0] == "@" {
			open = strings.Contains(text, "(") && !strings.Contains(text, ")")
			return nil
		}
		owner, kind, target := record(fields)
		switch kind {
		case "SOA", "NS":
			open = strings.Contains(text, "(") && !strings.Contains(text, ")")
			return nil
		case "CNAME", "A", "AAAA":
		default:
			return p.skip(l.number, reasonNoLookup, l.text)
		}
		if strings.TrimSuffix(target, ".") == "rpz-passthru" {
			return p.skip(l.number, reasonException, l.text)
		}
		e := entry{line: l.number, text: l.text}
		address, isIP := cutSuffix(owner, ".rpz-ip")
		switch {
		case isIP:
			network, ok := reversed(address)
			if !ok {
				return p.skip(l.number, reasonNotIP, l.text)
			}
			e.given = []given{{typ: typeIP, raw: network}}
		case strings.Contains(owner, ".rpz-"):
			return p.skip(l.number, reasonNoLookup, l.text)
		default:
			e.given = []given{{typ: typeHost, raw: owner}}
		}
		return p.add(&e)
	})
}

// cutSuffix takes a label and all behind it off an owner: 24.0.2.0.192.rpz-ip.rpz.example.
func cutSuffix(owner, label string) (string, bool) {
	i := strings.Index(owner+".", label+".")
	if i < 0 {
		return owner, false
	}
	return owner[:i], true
}

// record returns owner, type and target of a record: name [ttl] [class] type target.
func record(fields []string) (owner, kind, target string) {
	owner = strings.TrimSuffix(fields[0], ".")
	for i, f := range fields[1:] {
		switch f = strings.ToUpper(f); f {
		case "IN", "CH", "HS":
			continue
		}
		if strings.Trim(f, "0123456789SMHDW") == "" && f[0] >= '0' && f[0] <= '9' {
			continue
		}
		if i+2 < len(fields) {
			target = fields[i+2]
		}
		return owner, f, target
	}
	return owner, "", ""
}

// reversed reads a network as RPZ writes it: 24.0.2.0.192 is 192.0.2.0/24, and 48.zz.db8.2001 is 2001:db8::/48.
func reversed(text string) (string, bool) {
	parts := strings.Split(text, ".")
	if len(parts) < 3 || len(parts) > 9 {
		return "", false
	}
	length := parts[0]
	var groups []string
	for i := len(parts) - 1; i > 0; i-- {
		groups = append(groups, parts[i])
	}
	address := strings.Join(groups, ".")
	if a, err := netip.ParseAddr(address); err != nil || !a.Is4() {
		address = strings.Join(groups, ":")
		if i := strings.Index(address, "zz"); i >= 0 {
			address = strings.Replace(address, ":zz", "::", 1)
			address = strings.Replace(address, ":::", "::", 1)
			address = strings.Replace(address, "zz:", "::", 1)
		}
	}
	network, err := netip.ParsePrefix(address + "/" + length)
	return network.String(), err == nil
}

// readZeek reads format zeek: a table with #fields, whose rows name the type of the indicator.
func (p *pass) readZeek(lines *lineReader) error {
	columns := map[string]int{}
	comment := func(text string) {
		if rest, ok := strings.CutPrefix(text, "fields"); ok {
			for i, name := range strings.Split(strings.TrimPrefix(rest, "\t"), "\t") {
				columns[trim(name)] = i
			}
		}
	}
	return p.eachLine(lines, hash, comment, func(l line) error {
		if len(columns) == 0 {
			return errNoFields
		}
		cells := strings.Split(l.text, "\t")
		cell := func(name string) string {
			if i, ok := columns[name]; ok && i < len(cells) && trim(cells[i]) != "-" {
				return trim(cells[i])
			}
			return ""
		}
		g := given{word: cell("indicator_type"), raw: cell("indicator")}
		if g.raw == "" || g.word == "" {
			return p.skip(l.number, reasonWidth, l.text)
		}
		if strings.EqualFold(g.word, "Intel::URL") && !strings.Contains(g.raw, "://") && !strings.Contains(g.raw, "/") {
			g.raw += "/" // Zeek's URLs have no scheme, and this one has no path
		}
		e := entry{line: l.number, text: l.text, given: []given{g}}
		e.own.comment, e.own.reference = cell("meta.desc"), cell("meta.url")
		e.own.tags = []string{cell("meta.source")}
		e.row = map[string]any{}
		for name := range columns {
			e.row[name] = cell(name)
		}
		return p.add(&e)
	})
}

// readIPRep reads format iprep: an address or a network, a category from 1 to 60, and a score up to 127.
func (p *pass) readIPRep(lines *lineReader) error {
	return p.eachLine(lines, hash, nil, func(l line) error {
		cells := strings.Split(l.text, ",")
		if len(cells) < 3 {
			return p.skip(l.number, reasonWidth, l.text)
		}
		category, score := trim(cells[1]), trim(cells[2])
		if !within(category, 1, 60) || !within(score, 0, 127) {
			return p.skip(l.number, reasonScore, l.text)
		}
		e := entry{
			line: l.number, text: l.text, given: []given{{typ: typeIP, raw: cells[0]}},
			row: map[string]any{"ip": trim(cells[0]), "category": category, "score": score},
		}
		e.own.comment = "category " + category + ", score " + score
		return p.add(&e)
	})
}

// within reports whether a text is a whole number between two others.
func within(text string, least, most int) bool {
	if text == "" || len(text) > 5 || strings.Trim(text, "0123456789") != "" {
		return false
	}
	n := 0
	for i := range len(text) {
		n = 10*n + int(text[i]-'0')
	}
	return n >= least && n <= most
}
