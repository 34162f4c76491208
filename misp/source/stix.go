package source

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"custom-misp/engine"
)

// A stixObject is what is read of an object of STIX.
type stixObject struct {
	Type         string   `json:"type"`
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Description  string   `json:"description"`
	Modified     string   `json:"modified"`
	Created      string   `json:"created"`
	ValidUntil   string   `json:"valid_until"`
	ValidFrom    string   `json:"valid_from"`
	Revoked      bool     `json:"revoked"`
	Pattern      string   `json:"pattern"`
	PatternType  string   `json:"pattern_type"`
	Labels       []string `json:"labels"`
	Types        []string `json:"indicator_types"`
	Markings     []string `json:"object_marking_refs"`
	Relationship string   `json:"relationship_type"`
	Source       string   `json:"source_ref"`
	Target       string   `json:"target_ref"`
	References   []struct {
		URL string `json:"url"`
	} `json:"external_references"`

	// Of a marking definition.
	DefinitionType string `json:"definition_type"`
	Definition     struct {
		TLP string `json:"tlp"`
	} `json:"definition"`
	Extensions map[string]struct {
		TLP string `json:"tlp_2_0"`
	} `json:"extensions"`
}

const stixIndicatorType = "indicator"

// tlpMarkings are the objects that STIX has for labels of the Traffic Light Protocol.
var tlpMarkings = map[string]string{
	"613f2e26-407d-48c7-9eca-b8e91df99dc9": "tlp:white", "34098fce-860f-48ae-8e50-ebd3cc5e41da": "tlp:green",
	"f88d31f6-486f-44da-b317-01333bde0b82": "tlp:amber", "5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "tlp:red",
	"94868c89-83c2-464b-929b-a1a8aa3c8487": "tlp:clear", "bab4a63c-aed9-4cf5-a766-dfca5abac2bb": "tlp:green",
	"55d920b0-5e8b-4f79-9ee9-91f868d9b421": "tlp:amber", "939a9414-2ddd-4d32-a0cd-375ea402b003": "tlp:amber+strict",
	"e828b379-4e03-4974-9ac4-e53a884c97c1": "tlp:red",
}

// A stixIndex is what a first walk over a file learns for the second.
type stixIndex struct {
	latest   map[string]string // versions, by id of indicators
	families map[string]string // names of what indicators indicate, by id of the indicator
	tlp      map[string]string // tags of markings that the file defines itself, by id
}

// version orders the versions of an object: by when it was changed, and one that is revoked last.
func (o *stixObject) version() string {
	text := cmp.Or(o.Modified, o.Created)
	if at, ok := dateOf(text); ok {
		text = at.Format("2006-01-02T15:04:05.000000000")
	}
	if o.Revoked {
		text += "r"
	}
	return text
}

// tlpOf returns the tag of a marking definition that is a label of the Traffic Light Protocol; empty for another one.
func (o *stixObject) tlpOf() string {
	label := o.Definition.TLP
	if name, ok := strings.CutPrefix(strings.ToLower(o.Name), "tlp:"); ok && label == "" && (o.DefinitionType == "" || o.DefinitionType == "tlp") {
		label = name
	}
	for _, x := range o.Extensions {
		label = cmp.Or(x.TLP, label)
	}
	switch label = strings.TrimPrefix(strings.ToLower(trim(label)), "tlp:"); label {
	case "white", "clear", "green", "amber", "amber+strict", "red":
		return "tlp:" + label
	}
	return ""
}

// readSTIX reads format stix: bundles of STIX 2.0 and 2.1, and objects alone, one a line. Only indicators count, not what was
// observed.
func (p *pass) readSTIX(reopen func() (io.Reader, error)) error {
	index, err := indexSTIX(reopen)
	if err != nil {
		return err
	}
	n := 0
	return eachSTIX(reopen, func(raw json.RawMessage) error {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		var o stixObject
		if err := json.Unmarshal(raw, &o); err != nil {
			n++
			return p.skip(n, reasonJSON, string(raw[:min(len(raw), maxShown)]))
		}
		if o.Type != stixIndicatorType {
			return nil
		}
		n++
		return p.stixIndicator(n, &o, index)
	})
}

// indexSTIX reads what other objects say about indicators.
func indexSTIX(reopen func() (io.Reader, error)) (stixIndex, error) {
	x := stixIndex{latest: map[string]string{}, families: map[string]string{}, tlp: map[string]string{}}
	names, indicates := map[string]string{}, map[string]string{}
	err := eachSTIX(reopen, func(raw json.RawMessage) error {
		var o stixObject
		_ = json.Unmarshal(raw, &o) // what cannot be read has no type, and is counted by the second walk
		if len(x.latest) >= maxValues {
			return nil
		}
		switch o.Type {
		case stixIndicatorType:
			if v := o.version(); x.latest[o.ID] < v {
				x.latest[o.ID] = v
			}
		case "marking-definition":
			if tag := o.tlpOf(); tag != "" && len(x.tlp) < maxRepeated {
				x.tlp[o.ID] = tag
			}
		case "malware", "threat-actor", "tool", "intrusion-set", "campaign":
			if len(names) < maxRepeated {
				names[o.ID] = short(o.Name)
			}
		case "relationship":
			if o.Relationship == "indicates" && len(indicates) < maxRepeated {
				indicates[o.Source] = o.Target
			}
		}
		return nil
	})
	for from, to := range indicates {
		if names[to] != "" {
			x.families[from] = names[to]
		}
	}
	return x, err
}

// eachSTIX calls do with each object of a file.
func eachSTIX(reopen func() (io.Reader, error), do func(json.RawMessage) error) error {
	return eachDocument(reopen, "no objects of STIX", func(w *jsonWalker, first json.Token) error {
		if first == json.Delim('[') {
			return w.inside(first, []string{"*"}, func(raw json.RawMessage, _ []string) error { return do(raw) })
		}
		return w.stixObject(do)
	})
}

// stixObject reads a bundle, or an object alone.
func (w *jsonWalker) stixObject(do func(json.RawMessage) error) error {
	own := map[string]json.RawMessage{}
	bundle := false
	for w.dec.More() {
		key, err := w.token()
		if err != nil {
			return err
		}
		if key == "objects" {
			bundle = true
			next, err := w.token()
			if err == nil {
				err = w.inside(next, []string{"*"}, func(raw json.RawMessage, _ []string) error { return do(raw) })
			}
			if err != nil {
				return err
			}
			continue
		}
		raw, err := w.raw()
		if err != nil {
			return err
		}
		if name, ok := key.(string); ok && len(own) < maxColumns {
			own[name] = raw
		}
	}
	if _, err := w.token(); err != nil || bundle {
		return err
	}
	raw, err := json.Marshal(own)
	if err != nil {
		return err
	}
	return do(raw)
}

// stixIndicator reads an indicator of STIX.
func (p *pass) stixIndicator(n int, o *stixObject, x stixIndex) error {
	switch v := o.version(); {
	case o.ID != "" && x.latest[o.ID] > v:
		return p.skip(n, reasonOlder, o.Pattern)
	case o.Revoked:
		return p.skip(n, reasonRevoked, o.Pattern)
	case o.PatternType != "" && o.PatternType != "stix":
		return p.skip(n, fmt.Sprintf("a pattern of the type %q", short(o.PatternType)), o.Pattern)
	}
	delete(x.latest, o.ID) // the same version again is older
	x.latest[o.ID] = o.version() + "s"
	parsed, err := parsePattern(o.Pattern)
	if err != nil {
		return p.skip(n, err.Error(), o.Pattern)
	}
	e := entry{line: n, text: o.Pattern}
	var notes []string
	reason := ""
	for _, group := range parsed.groups {
		found, note, why := stixValues(group)
		reason = better(reason, why)
		e.given = append(e.given, found...)
		if note != "" {
			notes = append(notes, note)
		}
	}
	if len(e.given) == 0 {
		return p.skip(n, cmp.Or(reason, reasonNoForm), o.Pattern)
	}
	e.row = map[string]any{"name": o.Name, "description": o.Description, "pattern": o.Pattern}
	e.own.comment = trim(strings.Join(append([]string{short(o.Name)}, notes...), " "))
	e.own.firstSeen, _ = dateOf(o.ValidFrom)
	e.own.lastSeen, _ = dateOf(cmp.Or(o.Modified, o.Created))
	e.own.expires, _ = dateOf(o.ValidUntil)
	for _, r := range o.References {
		if e.own.reference == "" {
			e.own.reference = short(r.URL)
		}
	}
	p.stixLabels(&e, o, x)
	return p.add(&e)
}

// stixLabels takes tags and flags out of labels, types and markings.
func (p *pass) stixLabels(e *entry, o *stixObject, x stixIndex) {
	for _, l := range o.Labels {
		switch {
		case strings.HasPrefix(l, "misp:to_ids="):
			e.own.notFlagged = !strings.Contains(strings.ToLower(l), "true")
		case !strings.HasPrefix(l, "misp:"):
			e.own.tags = append(e.own.tags, l)
		}
	}
	for _, t := range append(o.Types, o.Labels...) {
		if t == "benign" || t == "anomalous-activity" {
			e.own.notFlagged = true
		}
	}
	for _, m := range o.Markings {
		if tag := cmp.Or(tlpMarkings[strings.TrimPrefix(m, "marking-definition--")], x.tlp[m]); tag != "" {
			e.own.tags = append(e.own.tags, tag)
		}
	}
	if family := x.families[o.ID]; family != "" {
		e.own.tags = append(e.own.tags, family)
	}
}

// stixValues returns the indicators of comparisons that hold together: hashes of one file each alone, and what else says
// more than a size or a type. note says what belongs together.
func stixValues(group []comparison) (found []given, note, reason string) {
	objects := map[string]bool{}
	strong := false
	var names []given
	for _, c := range group {
		t, known := stixType(c.path)
		switch {
		case !known:
			reason = better(reason, fmt.Sprintf("%s of a pattern", short(c.path)))
		case t == "":
			// a size, a type: describes what is beside it
		case t == "filename" || t == "email-subject":
			names = append(names, given{typ: t, raw: c.value})
		default:
			strong = true
			object, _, _ := strings.Cut(c.path, ":")
			objects[object] = true
			found = append(found, given{typ: t, raw: c.value, loose: true})
		}
	}
	if !strong {
		return names, "", reason
	}
	if len(objects) > 1 {
		names = append(names, found...)
	}
	for _, g := range names {
		note += " " + short(g.raw)
	}
	return found, trim(note), ""
}

// stixType returns the type of what is at a path; empty for what only describes. known is false for a path that means
// nothing here.
func stixType(path string) (t engine.Type, known bool) {
	object, property, _ := strings.Cut(strings.ToLower(path), ":")
	property = strings.ReplaceAll(property, "'", "")
	switch object {
	case "domain-name":
		if strings.HasPrefix(property, "resolves_to_refs") {
			return typeIP, true
		}
		return typeHost, property == "value"
	case "ipv4-addr", "ipv6-addr":
		return typeIP, property == "value"
	case "url":
		return typeURL, property == "value"
	case "email-addr", "email-message":
		return stixMail(property)
	case "network-traffic":
		return stixTraffic(property)
	case "file", "artifact":
		return stixFile(property)
	case "directory":
		return "filename", property == "path"
	case "windows-registry-key":
		if property == "key" {
			return "regkey", true
		}
		return "", strings.HasPrefix(property, "values")
	case "mutex":
		return "mutex", property == "name"
	case "x509-certificate":
		hash := strings.ReplaceAll(strings.TrimPrefix(property, "hashes."), "-", "")
		return engine.Type("x509-fingerprint-" + hash), hash == "sha1" || hash == "sha256" || hash == "md5"
	case "autonomous-system":
		return typeAS, property == "number"
	case "vulnerability":
		return "vulnerability", property == "name"
	}
	return "", false
}

func stixMail(property string) (engine.Type, bool) {
	switch property {
	case "value", "from_ref.value", "sender_ref.value":
		return "email-src", true
	case "to_refs[*].value":
		return "email-dst", true
	case "subject":
		return "email-subject", true
	}
	return "", property == "display_name" || property == "is_multipart"
}

func stixTraffic(property string) (engine.Type, bool) {
	switch property {
	case "dst_ref.value", "dst_ip":
		return engine.Auto, true
	case "src_ref.value", "src_ip":
		return "ip-src", true
	case "dst_port", "src_port", "protocols[*]", "dst_ref.type", "src_ref.type", "start", "end":
		return "", true
	}
	return "", false
}

func stixFile(property string) (engine.Type, bool) {
	if hash, ok := strings.CutPrefix(property, "hashes."); ok {
		t, known := typeOfWord(strings.ReplaceAll(hash, "sha-", "sha"))
		return t, known && t != engine.Auto
	}
	switch property {
	case "name", "path", "parent_directory_ref.path":
		return "filename", true
	case "size", "mime_type", "magic_number_hex", "name_enc", "ctime", "mtime", "atime":
		return "", true
	}
	return "", strings.HasPrefix(property, "x_") || strings.HasPrefix(property, "extensions")
}
