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
}

// A Pick is one place that an observable was found at.
type Pick struct {
	// Mapping is the id of the mapping that picked.
	Mapping string `json:"mapping"`
	// Path is the gjson path of the pick, as the mapping declares it.
	Path string `json:"path"`
	// Type is the type that this pick gave to the value; of the observable's family, but not always its Type.
	Type Type `json:"type"`
}

// A Filter narrows which MISP attributes count as a match. A nil field leaves the decision to the next filter
// out, in the end to the configured one.
type Filter struct {
	// ToIDs, if true, accepts only attributes that are flagged for detection (MISP's to_ids).
	ToIDs *bool `json:"to_ids,omitempty"`
	// Tags, if not empty, accepts only attributes that bear at least one of these tags, on themselves or on
	// their event. Compared without regard to case; a trailing * stands for any rest.
	Tags []string `json:"tags,omitempty"`
	// ExcludeTags rejects attributes that bear one of these tags. Same comparison as Tags.
	ExcludeTags []string `json:"exclude_tags,omitempty"`
	// Warninglists, if true, rejects attributes that MISP reports to be on one of its enabled warninglists.
	Warninglists *bool `json:"warninglists,omitempty"`
}

// Over returns f with the fields that f leaves open taken from base. A nil f is base itself.
func (f *Filter) Over(base Filter) Filter {
	if f == nil {
		return base
	}
	if f.ToIDs != nil {
		base.ToIDs = f.ToIDs
	}
	if f.Tags != nil {
		base.Tags = f.Tags
	}
	if f.ExcludeTags != nil {
		base.ExcludeTags = f.ExcludeTags
	}
	if f.Warninglists != nil {
		base.Warninglists = f.Warninglists
	}
	return base
}
