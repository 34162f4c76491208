package enrich

// Verdict returns in a few words how an event about a hit is to be taken, in the order in which the example rules for Wazuh
// decide: "on a warninglist", "expired", "known" or "related (KIND)", the last two with ", high threat" or ", not flagged".
func (b Body) Verdict() string {
	if len(b.Warninglists) > 0 {
		return "on a warninglist"
	}
	if b.Expired == "true" {
		return "expired"
	}
	words := "known"
	if b.MatchKind != "" && b.MatchKind != string(kinds[0]) {
		words = "related (" + b.MatchKind + ")"
	}
	if b.MatchMode == ModeRetrospective {
		words += ", retrospective"
	}
	switch {
	case b.ToIDs != "true":
		words += ", not flagged"
	case b.Event != nil && b.Event.ThreatLevel == "high":
		words += ", high threat"
	}
	return words
}
