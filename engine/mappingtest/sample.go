package mappingtest

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// Bounds of a sample. Together they are what it may take of memory: some 64 MiB for each core that reads.
const (
	// SampledOfEach is how many alerts of each decoder and rule, and of those that a mapping matches, are in a sample.
	SampledOfEach = 8
	maxSampled    = 8 << 10  // bytes of an alert; the first of its kind may have more
	maxSampledOne = 64 << 10 // bytes of the first of a kind
	maxKinds      = 1_000    // decoders with rules; mappings that match have room of their own
)

// A sample keeps some alerts of each kind. Which they are depends on their order in the input alone, and not on which core read
// them.
type sample struct {
	kinds  map[string][]sampledAlert
	ofRule int // kinds that are a decoder with a rule
}

// A sampledAlert is an alert with its number in the input.
type sampledAlert struct {
	number int
	alert  []byte
}

// kindOf returns the decoder and rule of an alert as a kind.
func kindOf(alert []byte) string {
	v := gjson.GetManyBytes(alert, "decoder.name", "rule.id")
	return "rule\t" + v[0].String() + "\t" + v[1].String()
}

// matchedBy is the kind of the alerts that a mapping matches.
func matchedBy(mapping string) string { return "mapping\t" + mapping }

// add keeps an alert if there is room for it in one of its kinds. Numbers rise.
func (s *sample) add(number int, alert []byte, kinds ...string) {
	if s.kinds == nil {
		s.kinds = map[string][]sampledAlert{}
	}
	var kept []byte
	for _, kind := range kinds {
		have := s.kinds[kind]
		switch {
		case len(have) >= SampledOfEach || len(alert) > maxSampled && (len(have) > 0 || len(alert) > maxSampledOne):
			continue
		case len(have) == 0 && strings.HasPrefix(kind, "rule\t"):
			if s.ofRule >= maxKinds {
				continue
			}
			s.ofRule++
		}
		if kept == nil {
			kept = slices.Clone(alert)
		}
		s.kinds[kind] = append(have, sampledAlert{number, kept})
	}
}

// merge adds another sample.
func (s *sample) merge(o *sample) {
	if s.kinds == nil {
		s.kinds = map[string][]sampledAlert{}
	}
	for kind, alerts := range o.kinds {
		all := append(slices.Clone(s.kinds[kind]), alerts...)
		slices.SortFunc(all, func(a, b sampledAlert) int { return cmp.Compare(a.number, b.number) })
		s.kinds[kind] = all[:min(len(all), SampledOfEach)]
	}
}

// all returns the alerts of all kinds, each once, in the order of the input.
func (s *sample) all() [][]byte {
	byNumber := map[int][]byte{}
	for _, alerts := range s.kinds {
		for _, a := range alerts {
			byNumber[a.number] = a.alert
		}
	}
	alerts := make([][]byte, 0, len(byNumber))
	for _, number := range slices.Sorted(maps.Keys(byNumber)) {
		alerts = append(alerts, byNumber[number])
	}
	return alerts
}

// of returns the alerts of a kind, in the order of the input.
func (s *sample) of(kind string) [][]byte {
	var alerts [][]byte
	for _, a := range s.kinds[kind] {
		alerts = append(alerts, a.alert)
	}
	return alerts
}
