package engine

// An Observable is one value found in an alert, in the normal form of its type.
type Observable struct {
	// Type is the MISP attribute type that the value was taken for, as the first pick declared it, or as the
	// value's own form decided for a pick of type auto.
	Type Type `json:"type"`
	// Value is the normal form: see [Type.Normal]. Never empty, at most [MaxValue] bytes.
	Value string `json:"value"`
	// Picks names every place that the value was picked from, in the order of the mappings; at least one.
	Picks []Pick `json:"picks"`
	// Filter holds what the mapping overrides of the configured look-up filters; nil for nothing.
	Filter *Filter `json:"lookup,omitempty"`
	// Fallback says that no mapping knows the event: a mapping with fallback picked the value, and no other did. See
	// [Observable.AskedLive].
	Fallback bool `json:"fallback,omitempty"`
	// Limit is how many of [Observable.Related] are asked for, nearest first; 0 for all. See [Limit].
	Limit int `json:"-"`
	// Plain asks MISP for the value as it is written, and not for the other ways to write it. See [Limit].
	Plain bool `json:"-"`
}

// A Pick is one place that an observable was found at.
type Pick struct {
	// Mapping is the id of the mapping that picked.
	Mapping string `json:"mapping"`
	// Path is the gjson path of the pick, as the mapping declares it.
	Path string `json:"path"`
	// Type is the type that this pick gave to the value; of the observable's family, but not always its Type.
	Type Type `json:"type"`
	// Encoded says that the value was encoded in the alert: in base64, in percent-encoding, in hexadecimal.
	Encoded bool `json:"encoded,omitempty"`
}
