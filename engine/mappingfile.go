package engine

import (
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"custom-misp/engine/yamlfile"
)

// A Source is a mapping file that has been read.
type Source struct {
	// Name is how faults call the file: a path, or another name that a reader recognises.
	Name string
	// Data is the YAML text, UTF-8.
	Data []byte
	// Err is why the file could not be read. It is a fault of this file; the other files are not affected.
	Err error
	// Builtin is set for files that are part of the program: a mapping of another source with the same id replaces
	// one of theirs.
	Builtin bool

	packed []packedMapping // see ReadPack
	fsys   fs.FS           // where the text is, if packed is set
}

// The shapes of a mapping file as it is written, before it is checked. They never leave this package. The reader, the
// schema and the reference are made from their tags.
type (
	declaredFile struct {
		_        struct{}          `what:"a mapping file"`
		Version  yamlfile.Scalar   `key:"version" need:"true" enum:"version" doc:"version of the mapping language; 1"`
		Source   yamlfile.Scalar   `key:"source" doc:"the product that the mappings are for, for people"`
		Define   yamlfile.Entries  `key:"define" doc:"names that expressions of this file use, each for a list of texts or for an expression; a name may use those before it"`
		Mappings []declaredMapping `key:"mappings" need:"true" doc:"the mappings; all that match an alert apply"`
		Tests    *yaml.Node        `key:"tests" doc:"tests of the mappings, as in a test file; run by custom-misp test"`
	}
	declaredMapping struct {
		_           struct{}          `what:"a mapping"`
		ID          yamlfile.Scalar   `key:"id" need:"true" pattern:"id" doc:"unique over all loaded files; letters, digits, and . _ - between them. Appears in every enrichment"`
		Description yamlfile.Scalar   `key:"description" doc:"what is picked, for people"`
		Match       yamlfile.Scalar   `key:"match" need:"true" doc:"when the mapping applies: an expr-lang expression that is true or false. If it requires a group or decoder, other alerts cost nothing"`
		Pick        []declaredPick    `key:"pick" need:"true" doc:"which values are taken from the alert"`
		Fallback    *bool             `key:"fallback" doc:"true: for what no other mapping knows. It applies after all others. Its picks by name leave out members that another mapping picked from; its picks with scan apply only to alerts from which no built-in mapping of a product picked a value. A mapping of a site does not count, so that adding one never takes away other values"`
		Labels      yamlfile.Entries  `key:"labels" doc:"fixed texts for the event, as {name: text}: misp.labels.NAME; of two mappings that picked the same value, the first one's"`
		Context     []declaredContext `key:"context" doc:"gjson paths whose values go into the event, for the analyst: scalars and arrays of scalars; objects are left out. An item is a path, or {path: PATH, name: NAME}"`
		Lookup      *declaredFilter   `key:"lookup" doc:"look-up filters of this mapping; a key that is left out is as configured"`
	}
	declaredPick struct {
		_       struct{}          `what:"a pick" oneof:"path name"`
		Path    yamlfile.Scalar   `key:"path" pattern:"path" doc:"gjson path into the whole alert; each item of an array is a candidate"`
		Name    []yamlfile.Scalar `key:"name" doc:"names of members at any depth below under: src_ip; *_ip for those that end in that word, *ip for those that end so; source.ip for one in an object; * for all. Case, underscores, hyphens and blanks make no difference. A member that a path of another mapping picked from is left out"`
		Under   yamlfile.Scalar   `key:"under" pattern:"path" doc:"path of the object that name is about; data if it is left out"`
		Except  []yamlfile.Scalar `key:"except" doc:"names of members, like those of name, that are left out with everything in them"`
		When    yamlfile.Scalar   `key:"when" doc:"expression over the names of match: does this pick apply to the alert?"`
		Split   yamlfile.Scalar   `key:"split" doc:"separator at which each candidate is split"`
		Prefix  yamlfile.Scalar   `key:"prefix" doc:"text that a candidate must begin with, and which is removed; other candidates are dropped"`
		Part    yamlfile.Scalar   `key:"part" enum:"part" doc:"of a path with / or \\: path for all of it, name for what follows the last of them; a value without one, or that ends with one, is dropped"`
		Regex   yamlfile.Scalar   `key:"regex" doc:"RE2 regular expression; every match is a candidate: the group named value, else the first group, else all of it"`
		Decode  []yamlfile.Scalar `key:"decode" enum:"decode" doc:"what is done to each candidate, in this order, after regex: trim, lower; url undoes percent-encoding; base64 and hex give bytes, and for a type of hash their digits; utf16; json gives the texts in a JSON text; powershell gives what -EncodedCommand and FromBase64String hold in a command line; sockaddr gives the address of a saddr of auditd. A candidate that a step cannot read is dropped. The event says that the value was encoded"`
		Pair    yamlfile.Scalar   `key:"pair" pattern:"path" doc:"gjson path of the second half of a pair, such as the data of a registry value; each candidate becomes both halves with | between them, and is dropped if there is no second one. Needs type regkey|value"`
		Scan    *bool             `key:"scan" doc:"true: the value is free text, and the indicators in it are the candidates: URLs, addresses, names, e-mail addresses, hashes, CVE ids. Needs type auto"`
		Type    yamlfile.Scalar   `key:"type" need:"true" enum:"type" doc:"MISP attribute type of the values, or auto: decided by the form of each value, dropped if it has none"`
		Keep    yamlfile.Scalar   `key:"keep" doc:"expression over value, type and all names of match; a value for which it is false is dropped"`
		Private *bool             `key:"private" doc:"true: addresses that are not public and names that are only known at a site are picked too. Without it they are dropped, with reverse names, and URLs and e-mail addresses of all these"`
	}
	declaredContext struct {
		_    struct{}        `what:"an item of context" short:"path"`
		Path yamlfile.Scalar `key:"path" need:"true" pattern:"path" doc:"gjson path into the whole alert"`
		Name yamlfile.Scalar `key:"name" doc:"key in the event: misp.source.context.NAME. Without it, the key is the last name of the path, with as many names before it as make it different from those of the other paths. If several mappings picked a value and have the same key, the first one's text is shown"`
	}
	declaredFilter struct {
		_              struct{}          `what:"lookup"`
		ToIDs          *bool             `key:"to_ids" doc:"accept only attributes that are flagged for detection"`
		Tags           []yamlfile.Scalar `key:"tags" doc:"accept only attributes with one of these tags, on themselves or on their event; * at the end matches any rest"`
		ExcludeTags    []yamlfile.Scalar `key:"exclude_tags" doc:"reject attributes with one of these tags"`
		Warninglists   *bool             `key:"warninglists" doc:"reject attributes that are on a warninglist: one that is enabled in MISP, or one of a source of warninglists"`
		Published      *bool             `key:"published" doc:"accept only attributes of published events; any edit un-publishes an event until it is published again"`
		MinThreatLevel yamlfile.Scalar   `key:"min_threat_level" enum:"threat_level" doc:"accept only events of this threat level or a higher one"`
		MaxAge         yamlfile.Scalar   `key:"max_age" doc:"accept only attributes that were changed or last seen within this time, like 90d; 0 for any"`
		MinDecayScore  yamlfile.Scalar   `key:"min_decay_score" doc:"accept only attributes whose best score by MISP's enabled decaying models is this or more, from 0 to 100; those that no model scores are accepted"`
		Orgs           []yamlfile.Scalar `key:"orgs" doc:"accept only events created by one of these organisations, by name or UUID"`
		ExcludeOrgs    []yamlfile.Scalar `key:"exclude_orgs" doc:"reject events created by one of these organisations"`
		Expired        yamlfile.Scalar   `key:"expired" enum:"expired" doc:"what an attribute is that was last seen in the past, or that has an expiration sighting: report, a match that says so; ignore, none; match, a match like others"`
		MatchKinds     []yamlfile.Scalar `key:"match_kinds" enum:"match_kind" doc:"accept only matches of these kinds"`
		Missing        yamlfile.Scalar   `key:"missing" enum:"missing" doc:"what an attribute is that does not have what min_threat_level, max_age, tags and orgs judge by, whatever its source says: reject, no hit; accept, a hit as far as they are concerned"`
	}
)

func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}

// FileShape describes mapping files: for the schema and the reference.
func FileShape() yamlfile.Shape {
	types := make([]string, 0, len(families)+1)
	for _, t := range Types() {
		types = append(types, string(t))
	}
	return yamlfile.Shape{Top: declaredFile{}, Enums: map[string][]string{
		"version": {"1"}, "type": types, "part": parts, "threat_level": ThreatLevels, "match_kind": words(MatchKinds()),
		"expired": ExpiredWords, "missing": MissingWords, "decode": decodeWords(),
	}, Patterns: map[string]string{"id": idPattern, "path": pathPattern}}
}

// pathPattern is what every gjson path is like that leads anywhere in an alert: it begins neither with a blank, a slash, a dollar sign
// nor a quote, and ends neither with a blank, a bar nor a dot.
const pathPattern = `^[^\s/$'"](?:.*[^\s.|])?$`

// A reader reads mapping files.
type reader struct {
	*yamlfile.Reader
	file    string
	builtin bool
	lint    bool // warn too
	paths   *paths
	defined definitions // names of the file that is read
	packed  bool        // it is a declaration in a pack, so lint and tests have shown that it compiles
	// vocabulary is what names are known, for lint; nil for none.
	vocabulary *Vocabulary
}

// declare reads a whole mapping file.
func (r reader) declare() declaredFile {
	var f declaredFile
	if top := r.Document(); top != nil {
		r.Decode(top, &f)
	}
	return f
}

// A DeclaredFilter is a look-up filter as files have it; [ReadFilter] checks it.
type DeclaredFilter = declaredFilter

// FilterWords are the values of a [DeclaredFilter], for the schema of files that have one.
func FilterWords() map[string][]string {
	return map[string][]string{"threat_level": ThreatLevels, "match_kind": words(MatchKinds()), "expired": ExpiredWords, "missing": MissingWords}
}

// ReadFilter checks a declared filter and returns the one that is applied; nil for none.
func ReadFilter(r *yamlfile.Reader, f *DeclaredFilter) *Filter { return reader{Reader: r}.filter(f) }

// filter checks a declared filter and returns the one that is applied; nil for none.
func (r reader) filter(f *declaredFilter) *Filter {
	if f == nil {
		return nil
	}
	texts := func(list []yamlfile.Scalar) []string {
		var out []string
		for _, s := range list {
			out = append(out, s.Value)
		}
		return out
	}
	out := &Filter{
		ToIDs: f.ToIDs, Published: f.Published, Warninglists: f.Warninglists,
		Tags: texts(f.Tags), ExcludeTags: texts(f.ExcludeTags), Orgs: texts(f.Orgs), ExcludeOrgs: texts(f.ExcludeOrgs),
	}
	if level := f.MinThreatLevel; level.Value != "" {
		out.MinThreatLevel = level.Value
		r.oneOf(level, "min_threat_level", ThreatLevels)
	}
	if f.Expired.Value != "" {
		out.Expired = f.Expired.Value
		r.oneOf(f.Expired, "expired", ExpiredWords)
	}
	if f.Missing.Value != "" {
		out.Missing = f.Missing.Value
		r.oneOf(f.Missing, "missing", MissingWords)
	}
	if s := f.MaxAge; s.Value != "" {
		age, err := ParseAge(s.Value)
		if err != nil {
			r.FaultIn(s, 0, "", "max_age: %v", err)
		}
		out.MaxAge = &age
	}
	if s := f.MinDecayScore; s.Value != "" {
		score, err := ParseDecayScore(s.Value)
		if err != nil {
			r.FaultIn(s, 0, "", "min_decay_score: %v", err)
		}
		out.MinDecayScore = &score
	}
	for _, s := range f.MatchKinds {
		r.oneOf(s, "match_kinds", words(MatchKinds()))
		out.MatchKinds = append(out.MatchKinds, MatchKind(s.Value))
	}
	return out
}

// oneOf notes a fault if a value is not one of words.
func (r reader) oneOf(s yamlfile.Scalar, what string, words []string) {
	if !slices.Contains(words, s.Value) {
		r.FaultIn(s, 0, yamlfile.DidYouMean(s.Value, words), "%s: %q is not one of %s", what, s.Value, strings.Join(words, ", "))
	}
}
