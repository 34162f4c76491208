package engine

import "strings"

// This file says which values compare equal. A value keeps the form in which the alert or MISP has it; what is compared
// is its key, which is the same for all ways to write it. Some values stand for many: %APPDATA%\x for a file below the
// profile of any user, HKCU\x for a key of any user. Such a value equals each that it stands for, but two of these are
// different values: C:\Users\a\x is not C:\Users\b\x.

// A comparison is what a value is compared by.
type comparison struct {
	// key is the value as it is compared.
	key string
	// wider are the keys of values that stand for it among others.
	wider []string
	// wide is set for a value that stands for others.
	wide bool
}

// narrow marks, in front of the key of a wide value, that a value is one of those that it stands for. No value begins
// with it.
const narrow = "<"

// stored returns the keys that an attribute is found by.
func (c comparison) stored() []string {
	keys := []string{c.key}
	for _, w := range c.wider {
		keys = append(keys, narrow+w)
	}
	return keys
}

// asked returns the keys of the attributes that a value of an alert equals.
func (c comparison) asked() []string {
	keys := append([]string{c.key}, c.wider...)
	if c.wide {
		keys = append(keys, narrow+c.key)
	}
	return keys
}

// compared returns what a value of a family is compared by. value is in normal form.
func compared(f Family, value string) comparison {
	switch f {
	case familyFilename:
		return pathForm(value)
	case familyRegistryKey:
		return registryForm(value)
	case familyRegistryPair:
		key, data, _ := strings.Cut(value, pairMark)
		return comparison{key: registryForm(key).key + pairMark + registryDataForm(data).key}
	case familyURL:
		return comparison{key: urlKey(value)}
	}
	return comparison{key: strings.ToLower(value)}
}

// An Indicator is the part of a value that is compared: two values match if their indicators are equal.
type Indicator struct {
	Family Family
	// Key is the same for all ways to write a value. It is in lower case: MISP compares without regard to case.
	Key string
}

// Indicator returns the indicator of an observable: the first of those that it may be known by.
func (o Observable) Indicator() Indicator {
	f := o.Type.Family()
	return Indicator{f, compared(f, o.Value).key}
}

// Literal returns the indicator that an observable has if nothing but its case is ignored.
func (o Observable) Literal() Indicator {
	return Indicator{o.Type.Family(), strings.ToLower(o.Value)}
}

// FormsVersion is raised when [Indicators] changes for values that are stored somewhere by their indicators.
const FormsVersion = 2

// Indicators returns the indicators by which a MISP attribute of type t with this value is found: usually one for a
// plain type, one for each half of a composite one that means something alone, none for a value that does not fit its
// type or for a type that is never compared. A value that others stand for has one more for each of these. A network
// in an attribute for addresses has an indicator of a family of its own.
func Indicators(t Type, value string) []Indicator {
	if t == registryPair {
		return pairIndicators(value)
	}
	if f, ok := families[t]; ok {
		return appendIndicators(nil, f, t, value)
	}
	return eachHalf(t, value, appendIndicators)
}

// Literals returns the indicators of an attribute if nothing but case is ignored, but for what [Type.Normal] removes.
// They are those that [Indicators] returned before values were compared in all their forms, and have the value as it is
// written: for what is exported, and for programs that compare nothing else.
func Literals(t Type, value string) []Indicator {
	if t == registryPair {
		return nil
	}
	if f, ok := families[t]; ok {
		return appendLiteral(nil, f, t, value)
	}
	return eachHalf(t, value, appendLiteral)
}

// eachHalf collects the indicators of the halves of a composite type; none if it is not one.
func eachHalf(t Type, value string, add func([]Indicator, Family, Type, string) []Indicator) []Indicator {
	halves, ok := composites[t]
	if !ok {
		return nil
	}
	first, second, ok := strings.Cut(value, pairMark)
	if !ok {
		return nil
	}
	found := add(nil, halves[0], halves[0].Lead(), first)
	return add(found, halves[1], halves[1].Lead(), second)
}

func appendLiteral(to []Indicator, f Family, t Type, value string) []Indicator {
	if f == "" {
		return to
	}
	if f == familyIP {
		if network, ok := networkOf(value); ok {
			return append(to, Indicator{familyNetwork, network})
		}
	}
	normal, err := t.Normal(value)
	if err != nil {
		return to
	}
	return append(to, Indicator{f, strings.ToLower(normal)})
}

func appendIndicators(to []Indicator, f Family, t Type, value string) []Indicator {
	switch f {
	case familyFilename, familyRegistryKey, familyURL:
	default:
		return appendLiteral(to, f, t, value)
	}
	normal, err := t.Normal(value)
	if err != nil && f == familyURL {
		normal, err = normalBareURL(value)
	}
	if err != nil {
		return to
	}
	return appendKeys(to, f, compared(f, normal).stored())
}

func appendKeys(to []Indicator, f Family, keys []string) []Indicator {
	for _, k := range keys {
		to = append(to, Indicator{f, k})
	}
	return to
}
