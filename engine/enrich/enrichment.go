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

// MaxText is the longest text in an event, in bytes. The indexer refuses a whole event with one above 32,766.
const MaxText = 8_000

// An Enrichment is one event for Wazuh: what MISP knows of one observable, or what went wrong.
type Enrichment struct {
	// Agent is whose alert the event belongs to; Wazuh reports the event under its name.
	Agent Agent
	// Body stands under "misp" in the event.
	Body Body
	// Late names the one of several MISP servers that was asked late: its event about a value is another one than that of the
	// servers that answered at once. Empty for any other.
	Late string
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
	// Whose knowledge it is, where there is more than one: "misp", or the name of a MISP server, feed or list.
	Origin string `json:"origin,omitempty"`
	// With several MISP servers, whose knowledge all is that matched, strongest first; Origin is the first.
	Origins []string `json:"origins,omitempty"`

	// How the value of the alert relates to that of the attribute: exact, half, url-host, parent-domain or network.
	MatchKind string `json:"match_kind,omitempty"`
	// [ModeDelayed] or [ModeRetrospective]; empty for a value that was looked up at once.
	MatchMode string `json:"match_mode,omitempty"`
	// How many attributes matched; of more than [MaxMatches], only so many are counted.
	MatchCount string `json:"match_count,omitempty"`
	// How many more hits of the same kind this event stands for, that had no event of their own.
	Repeats string `json:"repeats,omitempty"`
	// Of which agents these hits were, if of several: at most 50.
	Agents   []string `json:"agents,omitempty"`
	Padded   *Padded  `json:"padded,omitempty"`
	EventIDs []string `json:"event_ids,omitempty"` // each once, strongest first

	Observable *ObservableBody `json:"observable,omitempty"`
	// What the site has seen of the value before; absent without a history, and for values of types that it does not keep.
	History *HistoryBody `json:"history,omitempty"`
	// Fixed texts of the mappings that picked the value.
	Labels    map[string]string `json:"labels,omitempty"`
	Source    *Source           `json:"source,omitempty"`
	Withheld  string            `json:"withheld,omitempty"`  // "true" if texts and tags stay in MISP, see [Pipeline.Withhold]
	Truncated string            `json:"truncated,omitempty"` // "true" if fields were shortened, or a bound left out values of the alert or matches

	// Instead of the above but the source: trouble.
	Error       Code   `json:"error,omitempty"`
	Description string `json:"description,omitempty"`
	// Which of several MISP servers has the trouble, or had it.
	Server string `json:"server,omitempty"`
	// Instead of an error, with a description: the end of one.
	Recovered   Code   `json:"recovered,omitempty"`
	Since       string `json:"since,omitempty"` // RFC 3339, UTC
	Until       string `json:"until,omitempty"` // RFC 3339, UTC
	Queued      string `json:"held,omitempty"`  // how many alerts or events
	Processed   string `json:"processed,omitempty"`
	Dropped     string `json:"dropped,omitempty"`
	DeadLetters string `json:"set_aside,omitempty"`
	// Instead of an error, with a description: something to know, see [Notice].
	Notice  Notice      `json:"notice,omitempty"`
	Canary  string      `json:"canary,omitempty"`  // identifies a test event
	Changed []string    `json:"changed,omitempty"` // files, each with its owner and the time of the change
	Counts  *CountsBody `json:"counts,omitempty"`  // of a day
}

// A Notice is a kind of event that reports neither a hit nor trouble.
type Notice string

// The notices.
const (
	NoticeCanary  Notice = "canary"  // a test event, which is to come back as an alert
	NoticeDaily   Notice = "daily"   // what was done in a day
	NoticeChanged Notice = "changed" // the configuration, mappings or what they name changed
)

// A CountsBody says how much was done.
type CountsBody struct {
	Read     string `json:"read"`      // alerts
	LookedUp string `json:"looked_up"` // alerts with a value that was looked up
	Hits     string `json:"hits"`      // alerts with a value that is known
	Sent     string `json:"sent"`      // events
	Queued   string `json:"queued"`    // alerts and events that wait now
	Cut      string `json:"cut"`       // parts of alerts that a limit left out
	Lost     string `json:"lost"`      // alerts that could not be read, and dead letters that are there now
	Muted    string `json:"muted"`     // events that were not sent because they had been sent before, or are muted
}

// The values of misp.match_mode.
const (
	ModeDelayed       = "delayed"       // looked up late, since MISP was unreachable
	ModeRetrospective = "retrospective" // the indicator came after the alert
)

// Padded repeats numbers with zeros before them, all of one width: the indexer compares texts, and 9 is above 10 there.
type Padded struct {
	DecayScore string `json:"decay_score,omitempty"` // 000.0 to 100.0
	MatchCount string `json:"match_count,omitempty"` // 00001 to 05000
	Repeats    string `json:"repeats,omitempty"`     // 8 digits
	// Those of the history.
	HistoryCount      string `json:"history_count,omitempty"`       // 8 digits
	HistoryAgentCount string `json:"history_agent_count,omitempty"` // 5 digits
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

// A HistoryBody says what was seen of a value before. Of one that is in the history of a site only as the host of a URL, it
// is what is known of that host.
type HistoryBody struct {
	FirstSeen  string `json:"first_seen,omitempty"` // RFC 3339, UTC
	LastSeen   string `json:"last_seen,omitempty"`
	Count      string `json:"count,omitempty"`       // in how many alerts; "0" if it was never seen before
	AgentCount string `json:"agent_count,omitempty"` // on how many agents; of more than are kept, at least
	// Agents are their names, in events about what was seen before the indicator was known.
	Agents []string `json:"agents,omitempty"`
}

// A Prevalence says what the history of a site knows of a value.
type Prevalence struct {
	First, Last time.Time
	Count       int64 // alerts; 0 if it was never seen
	Agents      int
}

// body returns it as an event has it.
func (p Prevalence) body() *HistoryBody {
	b := &HistoryBody{Count: strconv.FormatInt(p.Count, 10), AgentCount: strconv.Itoa(p.Agents)}
	if p.Count > 0 {
		b.FirstSeen, b.LastSeen = p.First.UTC().Format(time.RFC3339), p.Last.UTC().Format(time.RFC3339)
	}
	return b
}

// JSON returns the event as Wazuh is to read it, at most [MaxEvent] bytes with texts of at most [MaxText]: long fields are
// shortened until it fits. The strings are valid UTF-8 whatever came in.
func (e Enrichment) JSON() ([]byte, error) {
	b := e.Body
	for _, longest := range []int{MaxText, 4000, 1000, 250, 60} {
		most := math.MaxInt
		if longest < MaxText {
			most, b.Truncated = longest/5, "true"
		}
		shortened := false
		b = b.changed(most, func(text string, inList bool) string {
			text = readable(text, inList)
			shortened = shortened || len(text) > longest
			return cut(text, longest)
		})
		if shortened {
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

// readable returns a text so that Wazuh takes it for nothing else. It would end at a NUL character. A text that is a JSON array
// would become one in the alert, and the indexer refuses objects and numbers where it has seen texts; a blank before it
// prevents that. In a list it stays a text.
func readable(text string, inList bool) string {
	text = strings.ReplaceAll(text, "\x00", "")
	if !inList && strings.HasPrefix(text, "[") && strings.HasSuffix(strings.TrimSpace(text), "]") {
		return " " + text
	}
	return text
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
func (b Body) changed(most int, f func(text string, inList bool) string) Body {
	change(reflect.ValueOf(&b).Elem(), most, false, f)
	return b
}

// change changes a value in place, but gives it copies of all that it shares with others.
func change(v reflect.Value, most int, inList bool, f func(text string, inList bool) string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(f(v.String(), inList))
	case reflect.Struct:
		for _, field := range v.Fields() {
			change(field, most, inList, f)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			c := reflect.New(v.Type().Elem())
			c.Elem().Set(v.Elem())
			change(c.Elem(), most, inList, f)
			v.Set(c)
		}
	case reflect.Slice:
		if !v.IsNil() {
			c := reflect.MakeSlice(v.Type(), min(v.Len(), most), min(v.Len(), most))
			reflect.Copy(c, v)
			for i := range c.Len() {
				change(c.Index(i), most, true, f)
			}
			v.Set(c)
		}
	case reflect.Map:
		if !v.IsNil() {
			c := reflect.MakeMapWithSize(v.Type(), v.Len())
			for key, value := range v.Seq2() {
				c.SetMapIndex(key, reflect.ValueOf(f(value.String(), inList)))
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
	if j.matches = p.Suppress.reported(j.matches); len(j.matches) == 0 {
		return nil
	}
	accepted := map[answerKey]bool{}
	found := map[engine.Indicator][]Match{}
	have := map[attributeKey]int{} // its place in found
	whole := map[string]bool{}     // attributes that the alert has in full: a half of one says nothing more
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
		k := keyOfAttribute(m)
		if n, again := have[k]; !again {
			have[k] = len(found[i])
			found[i] = append(found[i], m)
		} else if len(p.Links) > 0 {
			found[i][n] = alsoFrom(found[i][n], m)
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
	events := make([]Enrichment, 0, len(merged))
	context := contexts{engine: p.Engine, alert: j.alert.JSON}
	for _, o := range merged {
		e := p.enrichment(j.described(), o, found[o.Indicator()])
		var cut bool
		if e.Body.Source.Context, cut = context.of(o.Picks); cut {
			e.Body.Truncated = "true"
		}
		e.Late = j.late
		events = append(events, e)
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
		if len(matches) >= MaxMatches || matches[0].More {
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
	tags, withheld := lead.Tags, misp.AnyTag(p.Withhold, lead.Tags)
	if withheld {
		lead = new(lead.Withheld())
		if !strings.EqualFold(lead.Value, o.Value) {
			lead.Value = misp.WithheldText // more than what the alert has
		}
	}
	b := Body{
		EventID: lead.Event.ID, Category: lead.Category, Value: lead.Value, Type: lead.Type,
		UUID: lead.UUID, ToIDs: strconv.FormatBool(lead.ToIDs), Comment: lead.Comment,
		FirstSeen: lead.FirstSeen, LastSeen: lead.LastSeen,
		Event: &EventBody{
			UUID: lead.Event.UUID, Info: lead.Event.Info, Org: lead.Event.Org,
			ThreatLevel: lead.Event.ThreatLevel.String(), Analysis: lead.Event.Analysis.String(),
			Date: lead.Event.Date, Published: strconv.FormatBool(lead.Event.Published),
		},
		Tags: lead.Tags, TLP: misp.TLP(tags), MitreID: misp.MitreIDs(lead.Tags), Warninglists: lead.Warninglists,
		Origin: lead.Origin, MatchKind: string(matches[0].Kind), MatchCount: strconv.Itoa(len(matches)),
		Observable: &ObservableBody{
			Type: string(o.Type), Value: o.Value, Mapping: o.Picks[0].Mapping, Path: o.Picks[0].Path,
		},
		Padded: &Padded{MatchCount: fmt.Sprintf("%05d", len(matches))},
		Source: new(a.Source),
	}
	if withheld {
		b.Withheld = "true"
	}
	if p.delayed {
		b.MatchMode = ModeDelayed
	}
	if !lead.Timestamp.IsZero() {
		b.Timestamp = lead.Timestamp.UTC().Format(time.RFC3339)
	}
	if link := p.linkOf(lead.Origin); link != "" && lead.Event.ID != "" {
		b.Link = strings.TrimRight(link, "/") + "/events/view/" + lead.Event.ID
	}
	if len(p.Links) > 0 {
		b.Origins = originsOf(matches)
	}
	if matches[0].Expired {
		b.Expired = "true"
	}
	if lead.DecayScore != nil {
		b.DecayScore = strconv.FormatFloat(*lead.DecayScore, 'f', 1, 64)
		b.Padded.DecayScore = fmt.Sprintf("%05.1f", *lead.DecayScore)
	}
	b.EventIDs = p.eventIDs(matches)
	if p.Prevalence != nil {
		if known, ok := p.Prevalence(o); ok {
			b.History = known.body()
			b.Padded.HistoryCount, b.Padded.HistoryAgentCount = fmt.Sprintf("%08d", known.Count), fmt.Sprintf("%05d", known.Agents)
		}
	}
	p.describePicks(&b, o)
	return Enrichment{Agent: a.Agent, Body: b}
}

// describePicks says who picked a value where, with the fixed texts of these mappings.
func (p *Pipeline) describePicks(b *Body, o engine.Observable) {
	if !slices.ContainsFunc(o.Picks, func(p engine.Pick) bool { return !p.Encoded }) {
		b.Observable.Encoded = "true"
	}
	for i, pick := range o.Picks {
		if i > 0 {
			b.Observable.Also = append(b.Observable.Also, pick.Mapping+" "+pick.Path)
		}
		b.Labels = addTo(b.Labels, p.Engine.Labels(pick.Mapping))
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
