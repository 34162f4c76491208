package misp

// WithheldText stands in the place of a text that is withheld.
const WithheldText = "(withheld)"

// Withhold are the tags of attributes whose texts do not leave MISP unless a site says otherwise: the two labels of the Traffic
// Light Protocol that name persons or one organisation.
func Withhold() []string { return []string{"tlp:red", "tlp:amber+strict"} }

// Withheld returns an attribute without its comment and tags, and without the info and the organisation of its event. Ids, type,
// flags and threat level stay, by which who may see more finds it in MISP.
func (a Attribute) Withheld() Attribute {
	a.Comment, a.Tags = "", nil
	a.Event.Info, a.Event.Org, a.Event.OrgUUID = WithheldText, "", ""
	return a
}
