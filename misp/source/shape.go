package source

import (
	"maps"

	"go.yaml.in/yaml/v4"

	"custom-misp/engine"
	"custom-misp/engine/yamlfile"
)

// The shapes of a file of sources as it is written, before it is checked. They never leave this package. The reader, the
// schema and the reference are made from their tags.
type (
	declaredFile struct {
		_       struct{}         `what:"a file of sources"`
		Version yamlfile.Scalar  `key:"version" need:"true" enum:"version" doc:"version of the form of these files; 1"`
		Sources []declaredSource `key:"sources" empty:"ok" doc:"the sources; a file has these, or servers, or both"`
		Servers []declaredServer `key:"servers" empty:"ok" doc:"further MISP servers, which are looked up in as the MISP at misp.url is"`
		Tests   []declaredTest   `key:"tests" doc:"tests of the sources, run by custom-misp test"`
	}
	declaredSource struct {
		_            struct{}          `what:"a source"`
		Name         yamlfile.Scalar   `key:"name" need:"true" doc:"unique over all sources and the lists and feeds of the configuration; letters, digits, and . _ - between them. Hits have it as misp.origin"`
		Description  yamlfile.Scalar   `key:"description" doc:"what the source is, for people"`
		Preset       yamlfile.Scalar   `key:"preset" doc:"name of a built-in declaration; each key that is given here counts instead of that of the preset. custom-misp source list --presets shows them"`
		URL          yamlfile.Scalar   `key:"url" doc:"http(s) address that the source is fetched from. A key in it is not shown in logs, status or errors; ${KEY} stands for the content of the file that secrets names KEY"`
		Path         yamlfile.Scalar   `key:"path" doc:"file on this machine, instead of url; counted from Wazuh's directory if it is relative"`
		Headers      *yaml.Node        `key:"headers" doc:"headers of the request by their names: a text, or {file: PATH} for a secret, which only its owner and group may read"`
		Secrets      *yaml.Node        `key:"secrets" doc:"names that stand for secrets in url, each with {file: PATH}"`
		Auth         *declaredAuth     `key:"auth" doc:"how the server knows who asks, where it is not by a header or a part of the address"`
		CAFile       yamlfile.Scalar   `key:"ca_file" doc:"file with the certificates (PEM) to trust instead of the system's"`
		Proxy        yamlfile.Scalar   `key:"proxy" doc:"address of the proxy on the way to url, like http://proxy.example.org:3128, in which ${KEY} stands for a secret as in url; none for no proxy. HTTPS_PROXY and NO_PROXY in the environment count if it is left out"`
		Format       yamlfile.Scalar   `key:"format" enum:"format" doc:"form of the file. Left out, it is recognised where that is certain"`
		Member       yamlfile.Scalar   `key:"member" doc:"name of the file in a zip archive that has several"`
		Lines        *declaredLines    `key:"lines" doc:"for format lines"`
		CSV          *declaredCSV      `key:"csv" doc:"for format csv"`
		JSON         *declaredJSON     `key:"json" doc:"for formats json and ndjson"`
		TAXII        *declaredTAXII    `key:"taxii" doc:"for format taxii, whose url is the address of the discovery (…/taxii2/), an API root, or a collection"`
		Values       []declaredValue   `key:"values" doc:"what of a row is an indicator; several for a row with several. Formats with a form of their own need none"`
		Only         yamlfile.Scalar   `key:"only" doc:"expression that is true for the rows that count, like row.status == \"online\"; others are counted as not wanted"`
		Names        yamlfile.Scalar   `key:"names" enum:"names" doc:"exact: a name is that name. subdomains: a name is it and all below it. Left out, the format decides"`
		Padded       *bool             `key:"padded" doc:"true: parts of IPv4 addresses may begin with zeros, 010.001.002.003; they are decimal"`
		WideNetworks *bool             `key:"wide_networks" doc:"true: networks wider than /16, and for IPv6 /32, are looked up too"`
		Expires      *declaredExpires  `key:"expires" doc:"until when an indicator counts"`
		FirstSeen    yamlfile.Scalar   `key:"first_seen" doc:"expression for the time at which the indicator was first seen"`
		LastSeen     yamlfile.Scalar   `key:"last_seen" doc:"expression for the time at which it was last seen"`
		ToIDs        yamlfile.Scalar   `key:"to_ids" doc:"expression, or true or false: is a hit a reason for an alert, or only context? true if it is left out"`
		Tags         []yamlfile.Scalar `key:"tags" doc:"tags of all indicators"`
		TagsFrom     yamlfile.Scalar   `key:"tags_from" doc:"expression for further tags: a list, or a text with commas or blanks between"`
		Missing      yamlfile.Scalar   `key:"missing" enum:"missing" doc:"what an indicator is for filters that need what it does not have, like lookup.max_age for one without a date: reject, no hit; accept, a hit as far as they are concerned; lookup.missing if it is left out"`
		ThreatLevel  yamlfile.Scalar   `key:"threat_level" enum:"threat_level" doc:"threat level of all indicators"`
		Comment      yamlfile.Scalar   `key:"comment" doc:"expression for what the analyst reads with the hit"`
		Reference    yamlfile.Scalar   `key:"reference" doc:"expression for the address of more about the indicator"`
		Refresh      yamlfile.Scalar   `key:"refresh" doc:"how often the source is fetched, like 15m or 6h; mirror.feed_interval if it is left out"`
		Shrink       yamlfile.Scalar   `key:"shrink" doc:"a copy with less than this share of the indicators before is refused until it comes twice or is accepted; 50% if it is left out, 0% for never"`
		MayBeEmpty   *bool             `key:"may_be_empty" doc:"true: a file without any indicator is no error"`
		Marks        []yamlfile.Scalar `key:"marks" doc:"in presets: texts in the comments of a file by which it is recognised"`
		Unverified   *bool             `key:"unverified" doc:"true in presets whose form was never compared with a file of the provider: look at a preview first"`
	}
	declaredLines struct {
		_             struct{}          `what:"lines"`
		CommentPrefix []yamlfile.Scalar `key:"comment_prefix" doc:"texts that begin a comment: a whole line, or what follows a blank. # if it is left out"`
		Separator     yamlfile.Scalar   `key:"separator" doc:"what stands between several values of one line; without it, a line holds one value, and what follows a blank does not count"`
		Scan          *bool             `key:"scan" doc:"true: the lines are free text, as in a report, and the indicators in it count: addresses, URLs, hashes, and names that are defanged"`
		Only          yamlfile.Scalar   `key:"only" doc:"regular expression: only what it matches is read of a line, its group value or its first group"`
	}
	declaredCSV struct {
		_             struct{}          `what:"csv"`
		Separator     yamlfile.Scalar   `key:"separator" doc:"one character between columns, or tab, or blank for any number of blanks. Left out, the first rows decide between comma, semicolon, tab and |"`
		CommentPrefix []yamlfile.Scalar `key:"comment_prefix" doc:"texts that begin a comment line; # if it is left out"`
		Columns       []yamlfile.Scalar `key:"columns" doc:"names of the columns, for a file that does not name them. A header in the file, also in a comment, counts instead"`
		Header        yamlfile.Scalar   `key:"header" enum:"header" doc:"auto: a header is recognised. true: the first row is one. false: the file has none"`
	}
	declaredJSON struct {
		_    struct{}        `what:"json"`
		Rows yamlfile.Scalar `key:"rows" doc:"where the rows are: names with dots between, and * for each item of a list or each member of an object, like results.*.indicators.*; * if it is left out"`
	}
	declaredTAXII struct {
		_           struct{}          `what:"taxii"`
		Collections []yamlfile.Scalar `key:"collections" doc:"ids, aliases or titles of the collections; all that may be read, if it is left out"`
		Since       yamlfile.Scalar   `key:"since" doc:"how old the objects may be that are read first, by the time at which they were added, like 90d; all, if it is left out"`
		Limit       yamlfile.Scalar   `key:"limit" doc:"how many objects are asked for at a time; 1000 if it is left out. A server may give fewer"`
	}
	declaredValue struct {
		_        struct{}        `what:"a value"`
		From     yamlfile.Scalar `key:"from" doc:"expression for the value, like row.url; value, if it is left out, in formats that name the value themselves. A list has several values"`
		Type     yamlfile.Scalar `key:"type" enum:"type" doc:"MISP attribute type of the value; auto: decided by its form; hash: a hash of a file, by its length"`
		TypeFrom yamlfile.Scalar `key:"type_from" doc:"expression for the word by which the row itself names the type, like row.ioc_type"`
		Types    *yaml.Node      `key:"types" doc:"what these words mean: a MISP type, auto, or skip, besides the usual words"`
		Port     yamlfile.Scalar `key:"port" doc:"expression for the port of an address"`
		Split    yamlfile.Scalar `key:"split" doc:"what stands between several values of one cell"`
		Decode   yamlfile.Scalar `key:"decode" enum:"decode" doc:"how the value is encoded: base64"`
		When     yamlfile.Scalar `key:"when" doc:"expression that is true for the rows that have this value"`
	}
	declaredExpires struct {
		_      struct{}        `what:"expires"`
		At     yamlfile.Scalar `key:"at" doc:"expression for the time until which the indicator counts"`
		From   yamlfile.Scalar `key:"from" doc:"expression for the time from which after is counted; last_seen, first_seen or the time of the load, if it is left out"`
		After  yamlfile.Scalar `key:"after" doc:"how long the indicator counts, like 30d"`
		Layout yamlfile.Scalar `key:"layout" doc:"form of the times of this source, as Go has it: 2006-01-02 15:04:05 or 1/2/2006 15:04. The usual forms need none"`
	}
	declaredAuth struct {
		_        struct{}   `what:"auth"`
		User     *yaml.Node `key:"user" doc:"user name of basic authentication; {file: PATH} where it is a key itself"`
		Password *yaml.Node `key:"password" doc:"password of basic authentication: {file: PATH}; may be left out if user is a key"`
		Bearer   *yaml.Node `key:"bearer" doc:"token that is sent as Authorization: Bearer TOKEN: {file: PATH}"`
	}
	declaredTest struct {
		_          struct{}        `what:"a test"`
		Source     yamlfile.Scalar `key:"source" need:"true" doc:"name of the source"`
		Content    yamlfile.Scalar `key:"content" doc:"text of the file"`
		File       yamlfile.Scalar `key:"file" doc:"name of a file beside this one, instead of content"`
		Indicators *yaml.Node      `key:"indicators" doc:"what is found: a list of {type: …, value: …}, or a number for each type"`
		Skipped    *yaml.Node      `key:"skipped" doc:"how many entries yield none, by reason"`
		Fails      yamlfile.Scalar `key:"fails" doc:"a part of the error with which the file is refused"`
	}
)

// A Format is the form of a file.
type Format string

// The formats.
const (
	FormatLines       Format = "lines"
	FormatCSV         Format = "csv"
	FormatJSON        Format = "json"
	FormatNDJSON      Format = "ndjson"
	FormatSTIX        Format = "stix"
	FormatTAXII       Format = "taxii"
	FormatMISP        Format = "misp"
	FormatHosts       Format = "hosts"
	FormatAdblock     Format = "adblock"
	FormatDnsmasq     Format = "dnsmasq"
	FormatUnbound     Format = "unbound"
	FormatRPZ         Format = "rpz"
	FormatZeek        Format = "zeek"
	FormatIPRep       Format = "iprep"
	FormatOTX         Format = "otx"
	FormatWarninglist Format = "warninglist"
)

var formats = []string{
	string(FormatLines), string(FormatCSV), string(FormatJSON), string(FormatNDJSON), string(FormatSTIX), string(FormatTAXII), string(FormatMISP),
	string(FormatHosts), string(FormatAdblock), string(FormatDnsmasq), string(FormatUnbound), string(FormatRPZ),
	string(FormatZeek), string(FormatIPRep), string(FormatOTX), string(FormatWarninglist),
}

const (
	exactNames     = "exact"
	withSubdomains = "subdomains"
	headerAuto     = "auto"
	headerTrue     = "true"
	headerFalse    = "false"
	decodeBase64   = "base64"
	skipWord       = "skip"
)

// FileShape describes files of sources: for the schema and the reference.
func FileShape() yamlfile.Shape {
	enums := map[string][]string{
		"version": {"1"}, "format": formats, "type": typeNames(), "names": {exactNames, withSubdomains},
		"threat_level": engine.ThreatLevels, "missing": engine.MissingWords, "header": {headerAuto, headerTrue, headerFalse}, "decode": {decodeBase64},
	}
	maps.Copy(enums, engine.FilterWords())
	return yamlfile.Shape{Top: declaredFile{}, Enums: enums}
}

// typeNames returns the types that a value may have, auto first.
func typeNames() []string {
	var names []string
	for _, t := range engine.Types() {
		names = append(names, string(t))
	}
	return append(names, string(typeIPPort), string(typeHostPort), string(typeHash))
}

const (
	typeIP       engine.Type = "ip-dst"
	typeIPPort   engine.Type = "ip-dst|port"
	typeHostPort engine.Type = "hostname|port"
	typeHost     engine.Type = "hostname"
	typeDomain   engine.Type = "domain"
	typeURL      engine.Type = "url"
	typeURI      engine.Type = "uri"
	typeAS       engine.Type = "AS"
	typeHash     engine.Type = "hash" // what words mean: any hash of a file, by its length
)
