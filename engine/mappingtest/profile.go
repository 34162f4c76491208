package mappingtest

import (
	"cmp"
	"hash/maphash"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
)

// A Profile says what alerts look like without any value of them: which decoders, groups, rules and fields there are together, and
// which form the values of the fields have. Authors of mappings can work with it who may not see alerts. It is for one goroutine;
// several can be merged.
//
// Names of members that are data themselves, as in an object with an address for each host, become *. [Profile.String] decides that
// by the form of a name, by how names vary below one object, and by whether the name is also a value. Names that the program
// knows from built-in mappings stay.
type Profile struct {
	known  map[string]bool // names of members
	kinds  map[string]*profiledKind
	size   int             // names of members in all kinds
	values map[uint64]bool // hashes of short texts, in small letters
	alerts int
	more   bool // there were more kinds, names or values than are kept
}

// A profiledKind is a decoder with a set of groups.
type profiledKind struct {
	decoder string
	groups  []string
	rules   map[string]bool
	fields  map[string]form // by path, with # for the items of lists
	names   nameTree
}

// Bounds of a profile of alerts that may be anything.
const (
	maxProfiledKinds  = 2_000
	maxProfiledFields = 5_000   // of a kind
	maxProfiledRules  = 1_000   // of a kind
	maxProfiledValues = 300_000 // short texts that names are compared with
	maxProfiledNames  = 100_000 // members, of all kinds
)

// NewProfile returns an empty profile. vocabulary has the names that are known not to be data, as [engine.ParseVocabulary] reads them.
func NewProfile(vocabulary string) *Profile {
	p := &Profile{known: map[string]bool{}, kinds: map[string]*profiledKind{}, values: map[uint64]bool{}}
	for line := range strings.Lines(vocabulary) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if word != "field" {
			continue
		}
		for _, step := range stepsOf(rest) {
			p.known[step] = true
		}
	}
	return p
}

// Skip counts something that is not an alert, as nothing.
func (p *Profile) Skip() {}

// Add adds an alert.
func (p *Profile) Add(alert []byte) {
	p.alerts++
	root := gjson.ParseBytes(alert)
	decoder := root.Get("decoder.name").String()
	var groups []string
	root.Get("rule.groups").ForEach(func(_, g gjson.Result) bool {
		if name := strings.TrimSpace(g.String()); isProfiled(name) && !slices.Contains(groups, name) {
			groups = append(groups, name)
		}
		return len(groups) < maxNames
	})
	slices.Sort(groups)
	if !isProfiled(decoder) {
		decoder = ""
	}
	k := p.kind(decoder, groups)
	if rule := root.Get("rule.id").String(); k != nil && isNumber(rule) && (len(k.rules) < maxProfiledRules || k.rules[rule]) {
		k.rules[rule] = true
	}
	root.ForEach(func(key, v gjson.Result) bool {
		switch {
		case key.Str == "rule", key.Str == "decoder": // people wrote what is in there
		case envelope[key.Str]:
			p.rememberIn(key.Str, v, 0)
		default:
			if k != nil {
				p.member(k, &k.names, "", key.Str, v, 0)
			}
		}
		return true
	})
}

// identifies are names of members whose values name a user, a host or an address.
var identifies = regexp.MustCompile(`(?i)user|host|name|account|agent|computer|machine|device|owner|member|login|principal|ident|mail|addr|ip$|^ip|manager|client|server|domain|actor|subject|target`)

// rememberIn remembers the values in a member of the envelope.
func (p *Profile) rememberIn(name string, v gjson.Result, depth int) {
	if !v.IsObject() {
		p.remember(name, v, depth)
		return
	}
	v.ForEach(func(key, inner gjson.Result) bool {
		if depth < maxNameDepth {
			p.rememberIn(name+" "+key.Str, inner, depth+1)
		}
		return true
	})
}

// isProfiled reports whether a decoder or a group has a name that a profile can have: rules and decoders give it, and not alerts.
func isProfiled(name string) bool {
	_, _, indicator := engine.Recognise(name)
	return name != "" && len(name) <= 100 && !indicator && !strings.ContainsAny(name, "\t\r\n@") && !looksLikeAddress(name)
}

func isNumber(s string) bool { return s != "" && len(s) < 10 && strings.Trim(s, "0123456789") == "" }

func (p *Profile) kind(decoder string, groups []string) *profiledKind {
	key := decoder + "\t" + strings.Join(groups, "\t")
	k := p.kinds[key]
	if k == nil {
		if len(p.kinds) >= maxProfiledKinds {
			p.more = true
			return nil
		}
		k = &profiledKind{decoder: strings.Clone(decoder), rules: map[string]bool{}, fields: map[string]form{}}
		for _, g := range groups {
			k.groups = append(k.groups, strings.Clone(g))
		}
		p.kinds[strings.Clone(key)] = k
	}
	return k
}

// member adds a member of an object, and those in it.
func (p *Profile) member(k *profiledKind, in *nameTree, path, name string, v gjson.Result, depth int) {
	step := escapeKey(name)
	if step == "" || depth >= maxNameDepth {
		return
	}
	if !p.known[step] && isDataName(name) {
		step = anyName
	}
	node := p.child(in, strings.Clone(step))
	if node == nil {
		return
	}
	if node.last != p.alerts {
		node.last = p.alerts
		node.alerts++
	}
	path = strings.TrimPrefix(path+"."+step, ".")
	p.value(k, node, path, v, depth)
}

func (p *Profile) value(k *profiledKind, node *nameTree, path string, v gjson.Result, depth int) {
	f := formOf(v)
	if f == 0 {
		return
	}
	if _, known := k.fields[path]; known || len(k.fields) < maxProfiledFields {
		k.fields[path] |= f
	}
	switch {
	case v.IsObject():
		node.objects++
		v.ForEach(func(key, inner gjson.Result) bool {
			p.member(k, node, path, key.Str, inner, depth+1)
			return true
		})
	case v.IsArray():
		v.ForEach(func(_, item gjson.Result) bool {
			if !item.IsObject() {
				k.fields[path] |= formOf(item)
				return true
			}
			node.objects++
			item.ForEach(func(key, inner gjson.Result) bool {
				p.member(k, node, path+".#", key.Str, inner, depth+1)
				return true
			})
			return true
		})
	}
	steps := stepsOf(path)
	p.remember(steps[len(steps)-1], v, depth)
}

// seed hashes short texts. Hashes are compared within one process only.
var seed = maphash.MakeSeed()

// remember keeps that a text is the value of a member, or in the list that it is, if the name of the member says that it names someone.
func (p *Profile) remember(name string, v gjson.Result, depth int) {
	switch {
	case depth > maxNameDepth || !identifies.MatchString(name):
	case v.IsArray():
		v.ForEach(func(_, item gjson.Result) bool {
			p.remember(name, item, depth+1)
			return true
		})
	case v.Type == gjson.String && v.Str != "" && len(v.Str) <= 100 && len(p.values) < maxProfiledValues:
		p.values[maphash.String(seed, strings.ToLower(v.Str))] = true
	}
}

// Merge adds another profile with the same vocabulary.
func (p *Profile) Merge(o *Profile) {
	p.alerts += o.alerts
	p.more = p.more || o.more
	for _, from := range o.kinds {
		to := p.kind(from.decoder, from.groups)
		if to == nil {
			continue
		}
		maps.Copy(to.rules, from.rules)
		for path, f := range from.fields {
			to.fields[path] |= f
		}
		p.merge(&to.names, &from.names)
	}
	maps.Copy(p.values, o.values)
}

// sorted returns the kinds by decoder and groups.
func (p *Profile) sorted() []*profiledKind {
	return slices.SortedFunc(maps.Values(p.kinds), func(a, b *profiledKind) int {
		return cmp.Or(cmp.Compare(a.decoder, b.decoder), slices.Compare(a.groups, b.groups))
	})
}
