package source

import (
	"regexp"
	"slices"
	"time"

	"custom-misp/engine"
	"custom-misp/misp"
)

// A Source is a declared source, checked and compiled. It is immutable and safe for concurrent use.
type Source struct {
	Name        string
	Description string
	Preset      string // empty for none
	URL         string // as declared: a key in it stands as ${NAME}
	Path        string
	Headers     []Secret
	Secrets     []Secret
	Auth        Auth
	CAFile      string        // empty for the system's authorities
	Proxy       string        // empty for what the environment says; a key in it stands as ${NAME}
	Format      Format        // empty if it is recognised when the file is read
	Refresh     time.Duration // 0 if it is not declared
	Shrink      float64       // a copy with less than this share of the one before is refused
	MayBeEmpty  bool
	Unverified  bool
	Missing     string // one of [engine.MissingWords]; empty if it is not declared
	File        string // where it is declared
	Line        int

	list        bool // a plain list of the configuration, see List
	marks       []string
	form        string // changes when the declaration does
	member      string
	used        []string                      // columns that expressions read
	plain       map[*engine.Expression]string // expressions that are a column, and which
	comments    []string
	separator   string
	scan        bool
	onlyPart    *regexp.Regexp
	columns     []string
	header      string
	rows        []string
	taxii       compiledTAXII
	values      []compiledValue
	only        *engine.Expression
	names       string
	padded      bool
	wide        bool
	expires     compiledExpires
	firstSeen   *engine.Expression
	lastSeen    *engine.Expression
	toIDs       *engine.Expression
	tags        []string
	tagsFrom    *engine.Expression
	threatLevel misp.ThreatLevel
	comment     *engine.Expression
	reference   *engine.Expression
}

// A Secret is a header or a part of an address that may be in a file.
type Secret struct {
	Name string
	Text string // empty if it is in a file
	File string
}

// An Auth says how a server knows who asks: by a user and a password, or a token. The zero Auth is for none.
type Auth struct {
	User     string // empty if it is in a file
	UserFile string
	Password string // file; empty for none
	Bearer   string // file
}

// A compiledValue is one of the values of a row.
type compiledValue struct {
	from     *engine.Expression // nil for what the format names
	column   string             // the member of row that from is, empty for any other expression
	typ      engine.Type        // empty if the row names it
	typeFrom *engine.Expression
	types    map[string]string // words of this source
	port     *engine.Expression
	split    string
	base64   bool
	when     *engine.Expression
}

type compiledExpires struct {
	at, from *engine.Expression
	after    time.Duration
	layout   string
}

// DefaultShrink is the share of the indicators before that a copy needs if the source does not say.
const DefaultShrink = 0.5

// An Indicator is what a file says about a value.
type Indicator struct {
	misp.Attribute
	Line int // of the file
	// Values are those that are looked up in place of Attribute.Value, of a URL without scheme.
	Values []string
	// Subdomains is set for a name that stands for all below it too.
	Subdomains bool
	Reference  string

	unused disuse
	whole  bool // an attribute of MISP, which stays as it is
}

// expressions returns the expressions over a row.
func (s *Source) expressions() []*engine.Expression {
	all := []*engine.Expression{s.only, s.expires.at, s.expires.from, s.firstSeen, s.lastSeen, s.toIDs, s.tagsFrom, s.comment, s.reference}
	for _, v := range s.values {
		all = append(all, v.from, v.typeFrom, v.port, v.when)
	}
	return slices.DeleteFunc(all, func(x *engine.Expression) bool { return x == nil })
}

// usesRow reports which members of a row the expressions of a source read; all of them if whole is set.
func (s *Source) usesRow() (names []string, whole bool) {
	for _, x := range s.expressions() {
		n, w := x.Members("row")
		names, whole = append(names, n...), whole || w
	}
	return names, whole
}
