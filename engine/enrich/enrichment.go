package enrich

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"custom-misp/engine"
	"custom-misp/misp"
)

// MaxEvent is the longest event that is ever made, in bytes. Wazuh's queue takes 65,535 together with the
// header that names the agent, and silently cuts what is longer.
const MaxEvent = 60_000

// An Enrichment is one event for Wazuh: what MISP knows of one observable, or what went wrong.
type Enrichment struct {
	// Agent is whose alert the event belongs to; Wazuh reports the event under its name.
	Agent Agent
	// Body stands under "misp" in the event.
	Body Body
}

// A Body is a promise to the rules of users: names stay, every scalar is a text (Wazuh's rules see no other
// type as it was sent), and a field without a value is absent.
type Body struct {
	// The four fields that integrations of the first generation sent, of the strongest attribute.
	EventID  string `json:"event_id,omitempty"`
	Category string `json:"category,omitempty"`
	Value    string `json:"value,omitempty"`
	Type     string `json:"type,omitempty"`

	// More of the strongest attribute.
	UUID         string     `json:"uuid,omitempty"`
	ToIDs        string     `json:"to_ids,omitempty"` // "true" or "false"
	Comment      string     `json:"comment,omitempty"`
	Timestamp    string     `json:"timestamp,omitempty"` // of its last change, RFC 3339, UTC
	FirstSeen    string     `json:"first_seen,omitempty"`
	LastSeen     string     `json:"last_seen,omitempty"`
	Expired      string     `json:"expired,omitempty"` // "true" if it, and so all that matched, has ended
	Event        *EventBody `json:"event,omitempty"`
	Tags         []string   `json:"tags,omitempty"`
	TLP          string     `json:"tlp,omitempty"` // the strictest of its tlp: tags, without the prefix
	MitreID      []string   `json:"mitre_id,omitempty"`
	Warninglists []string   `json:"warninglists,omitempty"`
	DecayScore   string     `json:"decay_score,omitempty"` // 0.0 to 100.0, by the decaying model that gives it most
	Link         string     `json:"link,omitempty"`        // to the MISP event, for a browser
	// Whose knowledge it is, where a mirror has it of more than one: "misp", or the name of a feed or list.
	Origin string `json:"origin,omitempty"`

	// How the value of the alert relates to that of the attribute: exact, half, url-host, parent-domain or network.
	MatchKind string `json:"match_kind,omitempty"`
	// "delayed" if the value was looked up late, since MISP was unreachable.
	MatchMode string `json:"match_mode,omitempty"`
	// How many attributes matched; of more than [MaxMatches], only so many are counted.
	MatchCount string   `json:"match_count,omitempty"`
	EventIDs   []string `json:"event_ids,omitempty"` // each once, strongest first

	Observable *ObservableBody `json:"observable,omitempty"`
	// Fixed texts of the mappings that picked the value.
	Labels    map[string]string `json:"labels,omitempty"`
	Source    *Source           `json:"source,omitempty"`
	Truncated string            `json:"truncated,omitempty"` // "true" if fields were shortened, or a bound left out values of the alert or matches

	// Instead of the above but the source: trouble.
	Error       Code   `json:"error,omitempty"`
	Description string `json:"description,omitempty"`
	// Instead of an error, with a description: the end of one.
	Recovered   Code   `json:"recovered,omitempty"`
	Since       string `json:"since,omitempty"` // RFC 3339, UTC
	Until       string `json:"until,omitempty"` // RFC 3339, UTC
	Queued      string `json:"held,omitempty"`  // how many alerts or events
	Processed   string `json:"processed,omitempty"`
	Dropped     string `json:"dropped,omitempty"`
	DeadLetters string `json:"set_aside,omitempty"`
}

// An EventBody describes the MISP event that the strongest attribute belongs to.
type EventBody struct {
	UUID        string `json:"uuid,omitempty"`
	Info        string `json:"info,omitempty"`
	Org         string `json:"org,omitempty"`
	ThreatLevel string `json:"threat_level,omitempty"` // high, medium, low or undefined
	Analysis    string `json:"analysis,omitempty"`     // initial, ongoing or complete
	Date        string `json:"date,omitempty"`
	Published   string `json:"published,omitempty"` // "true" or "false"
}

// An ObservableBody says which value of the alert matched, and who picked it where.
type ObservableBody struct {
	Type    string   `json:"type,omitempty"`
	Value   string   `json:"value,omitempty"`
	Mapping string   `json:"mapping,omitempty"`
	Path    string   `json:"path,omitempty"`
	Also    []string `json:"also,omitempty"` // "mapping path" of every further pick
	// "true" if the value was encoded in the alert, in base64 or the like, at every place.
	Encoded string `json:"encoded,omitempty"`
}

// JSON returns the event as Wazuh is to read it, at most [MaxEvent] bytes: long fields are shortened until it
// fits. The strings are valid UTF-8 whatever came in.
func (e Enrichment) JSON() ([]byte, error) {
	// Wazuh would end the text at a NUL character.
	b := e.Body.changed(math.MaxInt, func(text string) string { return strings.ReplaceAll(text, "\x00", "") })
	for _, longest := range []int{0, 4000, 1000, 250, 60} {
		if longest > 0 {
			b = b.changed(longest/5, func(text string) string { return cut(text, longest) })
			b.Truncated = "true"
		}
		data, err := encode(b)
		if err != nil {
			return nil, err
		}
		if len(data) <= MaxEvent {
			return data, nil
		}
	}
	return nil, fmt.Errorf("enrichment of %q does not fit into %d bytes", b.Value, MaxEvent)
}

func encode(b Body) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		Integration string `json:"integration"`
		MISP        Body   `json:"misp"`
	}{"misp", b})
	if err != nil {
		return nil, fmt.Errorf("encode enrichment: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// changed returns a copy of b in which f has changed every text, and every list has at most so many items.
func (b Body) changed(most int, f func(string) string) Body {
	change(reflect.ValueOf(&b).Elem(), most, f)
	return b
}

// change changes a value in place, but gives it copies of all that it shares with others.
func change(v reflect.Value, most int, f func(string) string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(f(v.String()))
	case reflect.Struct:
		for _, field := range v.Fields() {
			change(field, most, f)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			c := reflect.New(v.Type().Elem())
			c.Elem().Set(v.Elem())
			change(c.Elem(), most, f)
			v.Set(c)
		}
	case reflect.Slice:
		if !v.IsNil() {
			c := reflect.MakeSlice(v.Type(), min(v.Len(), most), min(v.Len(), most))
			reflect.Copy(c, v)
			for i := range c.Len() {
				change(c.Index(i), most, f)
			}
			v.Set(c)
		}
	case reflect.Map:
		if !v.IsNil() {
			c := reflect.MakeMapWithSize(v.Type(), v.Len())
			for key, value := range v.Seq2() {
				c.SetMapIndex(key, reflect.ValueOf(f(value.String())))
			}
			v.Set(c)
		}
	}
}

// cut shortens s to at most n bytes, between characters, and marks that it did.
func cut(s string, n int) string {
	const mark = "…"
	if len(s) <= n {
		return s
	}
	end := n - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}

// events makes one event for each value that matched, in the order of the observables. A value that mappings with
// different filters picked has matched if one of them accepts an attribute; the event names the picks of those that do.
func (p *Pipeline) events(j *job) []Enrichment {
	if len(j.matches) == 0 {
		return nil
	}
	accepted := map[answerKey]bool{}
	found := map[engine.Indicator][]Match{}
	have := map[attributeKey]bool{}
	whole := map[string]bool{} // attributes that the alert has in full: a half of one says nothing more
	for _, m := range j.matches {
		if m.Kind == engine.MatchExact && m.Attribute.UUID != "" {
			whole[m.Attribute.UUID] = true
		}
	}
	for _, m := range j.matches {
		if m.Kind == engine.MatchHalf && whole[m.Attribute.UUID] {
			continue
		}
		i := m.Observable.Indicator()
		accepted[keyOf(m.Observable)] = true
		if k := keyOfAttribute(m); !have[k] {
			have[k] = true
			found[i] = append(found[i], m)
		}
	}
	var merged []engine.Observable
	at := map[engine.Indicator]int{}
	for _, o := range j.observables {
		i := o.Indicator()
		if !accepted[keyOf(o)] {
			continue
		}
		if first, have := at[i]; have {
			merged[first].Picks = slices.Concat(merged[first].Picks, o.Picks)
			continue
		}
		at[i] = len(merged)
		merged = append(merged, o)
	}
	var events []Enrichment
	for _, o := range merged {
		events = append(events, p.enrichment(j.described(), o, found[o.Indicator()]))
	}
	j.cuts = append(j.cuts, cutsOf(events, found)...)
	for i := range events {
		if len(j.cuts) > 0 {
			events[i].Body.Truncated = "true"
		}
	}
	return events
}

// cutsOf returns what bounds have left out of the matches, or may have: who has so many may have had more.
func cutsOf(events []Enrichment, found map[engine.Indicator][]Match) (cuts []engine.Cut) {
	for _, matches := range found {
		if len(matches) >= MaxMatches {
			cuts = append(cuts, engine.Cut{What: engine.CutMatches, Number: 1})
			break
		}
	}
	for _, e := range events {
		if len(e.Body.Tags) >= misp.MaxTags || len(e.Body.Warninglists) >= misp.MaxWarninglists {
			cuts = append(cuts, engine.Cut{What: engine.CutLabels, Number: 1})
			break
		}
	}
	return cuts
}

// An attributeKey is what makes an attribute one match of a value. A feed that MISP takes too has the same attributes,
// under the same UUIDs.
type attributeKey struct {
	of              engine.Indicator
	uuid, id, value string
}

func keyOfAttribute(m Match) attributeKey {
	k := attributeKey{m.Observable.Indicator(), m.Attribute.UUID, m.Attribute.ID, m.Attribute.Value}
	if k.uuid != "" {
		k.id = ""
	}
	return k
}

func (p *Pipeline) enrichment(a Alert, o engine.Observable, matches []Match) Enrichment {
	slices.SortStableFunc(matches, compareStrength)
	lead := matches[0].Attribute
	b := Body{
		EventID: lead.Event.ID, Category: lead.Category, Value: lead.Value, Type: lead.Type,
		UUID: lead.UUID, ToIDs: strconv.FormatBool(lead.ToIDs), Comment: lead.Comment,
		FirstSeen: lead.FirstSeen, LastSeen: lead.LastSeen,
		Event: &EventBody{
			UUID: lead.Event.UUID, Info: lead.Event.Info, Org: lead.Event.Org,
			ThreatLevel: lead.Event.ThreatLevel.String(), Analysis: lead.Event.Analysis.String(),
			Date: lead.Event.Date, Published: strconv.FormatBool(lead.Event.Published),
		},
		Tags: lead.Tags, TLP: misp.TLP(lead.Tags), MitreID: misp.MitreIDs(lead.Tags), Warninglists: lead.Warninglists,
		Origin: lead.Origin, MatchKind: string(matches[0].Kind), MatchCount: strconv.Itoa(len(matches)),
		Observable: &ObservableBody{
			Type: string(o.Type), Value: o.Value, Mapping: o.Picks[0].Mapping, Path: o.Picks[0].Path,
		},
		Source: new(a.Source),
	}
	if p.delayed {
		b.MatchMode = "delayed"
	}
	if !lead.Timestamp.IsZero() {
		b.Timestamp = lead.Timestamp.UTC().Format(time.RFC3339)
	}
	if p.Link != "" && lead.Event.ID != "" && (lead.Origin == "" || lead.Origin == misp.OriginServer) {
		b.Link = strings.TrimRight(p.Link, "/") + "/events/view/" + lead.Event.ID
	}
	if matches[0].Expired {
		b.Expired = "true"
	}
	if lead.DecayScore != nil {
		b.DecayScore = strconv.FormatFloat(*lead.DecayScore, 'f', 1, 64)
	}
	listed := map[string]bool{}
	for _, m := range matches {
		if id := m.Attribute.Event.ID; !listed[id] {
			listed[id] = true
			b.EventIDs = append(b.EventIDs, id)
		}
	}
	b.Source.Context = map[string]string{}
	p.describePicks(&b, a, o)
	return Enrichment{Agent: a.Agent, Body: b}
}

// describePicks says who picked a value where, with what these mappings have for the analyst.
func (p *Pipeline) describePicks(b *Body, a Alert, o engine.Observable) {
	if !slices.ContainsFunc(o.Picks, func(p engine.Pick) bool { return !p.Encoded }) {
		b.Observable.Encoded = "true"
	}
	for i, pick := range o.Picks {
		if i > 0 {
			b.Observable.Also = append(b.Observable.Also, pick.Mapping+" "+pick.Path)
		}
		b.Labels = addTo(b.Labels, p.Engine.Labels(pick.Mapping))
		b.Source.Context = addTo(b.Source.Context, p.Engine.Context(pick.Mapping, a.JSON))
	}
}

// addTo adds texts under names that are not there yet.
func addTo(texts, more map[string]string) map[string]string {
	for name, text := range more {
		if texts == nil {
			texts = map[string]string{}
		}
		if _, have := texts[name]; !have {
			texts[name] = text
		}
	}
	return texts
}

// TroubleEvent reports that something went wrong with an alert. It is the manager's event, not the agent's, for it says
// something about the installation.
func TroubleEvent(a Alert, err error) Enrichment {
	e := Enrichment{Body: Body{Error: codeOf(err, CodeUnavailable), Description: err.Error()}}
	if a.JSON != nil {
		e.Body.Source = new(a.Source)
	}
	return e
}

// recoveryEvent reports that an outage is over.
func recoveryEvent(o Outage, what string) Enrichment {
	count := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	return Enrichment{Body: Body{
		Recovered: o.Code, Description: what,
		Since: o.Since.UTC().Format(time.RFC3339), Until: o.Answered.UTC().Format(time.RFC3339),
		Queued: strconv.Itoa(o.Queued), Processed: strconv.Itoa(o.Processed), Dropped: count(o.Dropped), DeadLetters: count(o.DeadLetters),
	}}
}
