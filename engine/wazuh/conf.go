package wazuh

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Conf is the part of ossec.conf that matters to an integration.
type Conf struct {
	// Integrations are all <integration> blocks, in the order in which integratord runs them.
	Integrations []Integration
	// RuleDirs are the directories from which analysisd reads rules, relative to Wazuh's home; those of a stock ossec.conf
	// if the file names none.
	RuleDirs []string
	// RuleExcludes are rule files that analysisd leaves out.
	RuleExcludes []string
	// JSONOutput is the text of <jsonout_output>: without "no", analysisd writes alerts.json. Empty if it is not given.
	JSONOutput string
	// JSONOutputLine is the line of it.
	JSONOutputLine int
	// LogAllJSON is the text of <logall_json>: with "yes", analysisd writes archives.json. Empty if it is not given.
	LogAllJSON string
	// LogAllJSONLine is the line of it.
	LogAllJSONLine int
}

// Integration is one <integration> block.
type Integration struct {
	Line, End int // lines of its first and its last tag; End is 0 if the block does not end
	// Within is the element around it, if that is not the outermost one: integratord does not read such a block.
	Within   string
	Elements []Element
}

// Element is one element of a block. Its text keeps all blanks, as Wazuh trims nothing.
type Element struct {
	Name, Text string
	Line       int
}

// Text returns the text of an element; of the last one if there are several, as integratord does; "" for none.
func (i Integration) Text(name string) string {
	text := ""
	for _, e := range i.Elements {
		if e.Name == name {
			text = e.Text
		}
	}
	return text
}

// Count returns how many elements of a name are in the block.
func (i Integration) Count(name string) int {
	n := 0
	for _, e := range i.Elements {
		if e.Name == name {
			n++
		}
	}
	return n
}

// ParseConf reads ossec.conf, which is XML in Wazuh's own dialect: several roots, comments with anything in them, \< for a
// plain <. The error names the line; the Conf then has what is before it.
func ParseConf(data []byte) (Conf, error) {
	var c Conf
	err := walk(data, func(path []string, e xml.StartElement, line int) {
		if e.Name.Local == "integration" {
			within := ""
			if len(path) > 1 {
				within = path[len(path)-1]
			}
			c.Integrations = append(c.Integrations, Integration{Line: line, Within: within})
		}
	}, func(path []string, name, text string, line, end int) {
		switch parent := path[len(path)-1]; {
		case name == "integration" && len(c.Integrations) > 0:
			c.Integrations[len(c.Integrations)-1].End = end
		case parent == "global" && name == "jsonout_output":
			c.JSONOutput, c.JSONOutputLine = strings.TrimSpace(text), line
		case parent == "global" && name == "logall_json":
			c.LogAllJSON, c.LogAllJSONLine = strings.TrimSpace(text), line
		case parent == "integration" && len(c.Integrations) > 0:
			last := &c.Integrations[len(c.Integrations)-1]
			last.Elements = append(last.Elements, Element{name, text, line})
		case parent == "ruleset" && name == "rule_dir":
			c.RuleDirs = append(c.RuleDirs, strings.TrimSpace(text))
		case parent == "ruleset" && name == "rule_exclude":
			c.RuleExcludes = append(c.RuleExcludes, strings.TrimSpace(text))
		}
	})
	if len(c.RuleDirs) == 0 {
		c.RuleDirs = []string{"ruleset/rules", "etc/rules"}
	}
	if err != nil {
		return c, fmt.Errorf("ossec.conf: %w", err)
	}
	return c, nil
}

// A Rule is what a rule says by itself, without the other rules.
type Rule struct {
	ID string
	// Overwrite is set for a rule that replaces another one with the same id.
	Overwrite bool
	// Level is its level; -1 if it has none, as one that overwrites may.
	Level int
	// Groups are those that its alerts have: of the file's <group>, and its own. Items keep their blanks.
	Groups []string
	// Fields are its conditions on dynamic fields: name and expression.
	Fields map[string]string
}

// ParseRules reads a rule file. With an error, it returns the rules before it.
func ParseRules(data []byte) ([]Rule, error) {
	var rules []Rule
	field, around := "", ""
	err := walk(data, func(path []string, e xml.StartElement, _ int) {
		switch e.Name.Local {
		case "rule":
			level, err := strconv.Atoi(attribute(e, "level"))
			if err != nil {
				level = -1
			}
			rules = append(rules, Rule{ID: attribute(e, "id"), Overwrite: attribute(e, "overwrite") == "yes", Level: level, Groups: items(around)})
		case "field":
			field = attribute(e, "name")
		case "group":
			if !slices.Contains(path, "rule") {
				around = attribute(e, "name")
			}
		}
	}, func(path []string, name, text string, _, _ int) {
		if !slices.Contains(path, "rule") || len(rules) == 0 {
			return
		}
		switch last := &rules[len(rules)-1]; name {
		case "group":
			last.Groups = append(last.Groups, items(text)...)
		case "field":
			if last.Fields == nil {
				last.Fields = map[string]string{}
			}
			last.Fields[field] = strings.TrimSpace(text)
		}
	})
	if err != nil {
		return rules, fmt.Errorf("rules: %w", err)
	}
	return rules, nil
}

// items returns the items of a list of groups. They are not trimmed, as Wazuh trims none.
func items(list string) []string {
	return slices.DeleteFunc(strings.Split(list, ","), func(item string) bool { return item == "" })
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// walk calls opened at the start of each element and closed at its end. path names the elements around it,
// outermost first; closed is not called for outermost ones.
func walk(data []byte, opened func(path []string, e xml.StartElement, line int), closed func(path []string, name, text string, line, end int)) error {
	type open struct {
		text strings.Builder
		line int
	}
	var path []string
	var stack []*open
	dec := xml.NewDecoder(bytes.NewReader(plainXML(data)))
	dec.Strict = false
	dec.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			line, _ := dec.InputPos()
			opened(path, t, line)
			path, stack = append(path, t.Name.Local), append(stack, &open{line: line})
		case xml.CharData:
			if len(stack) > 0 {
				stack[len(stack)-1].text.Write(t)
			}
		case xml.EndElement:
			last := len(stack) - 1
			if last > 0 {
				end, _ := dec.InputPos()
				closed(path[:last], path[last], stack[last].text.String(), stack[last].line, end)
			}
			path, stack = path[:last], stack[:last]
		}
	}
}

// plainXML converts what Wazuh accepts as XML into real XML: it removes comments, which may contain -- and end in !>, but
// keeps their line breaks, and writes \< as an entity.
func plainXML(data []byte) []byte {
	data = bytes.ToValidUTF8(data, []byte("?"))
	out := make([]byte, 0, len(data))
	for i := 0; i < len(data); i++ {
		switch rest := data[i:]; {
		case bytes.HasPrefix(rest, []byte(`\<`)):
			out = append(out, `\&lt;`...)
			i++
		case bytes.HasPrefix(rest, []byte("<!")):
			n := len(rest)
			for _, end := range []string{"-->", "!>"} {
				if at := bytes.Index(rest[2:], []byte(end)); at >= 0 {
					n = min(n, 2+at+len(end))
				}
			}
			out = append(out, bytes.Repeat([]byte("\n"), bytes.Count(rest[:n], []byte("\n")))...)
			i += n - 1
		default:
			out = append(out, data[i])
		}
	}
	return out
}

var versionForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)\bversion"?\s*[:=]\s*"v?(\d+\.\d+(?:\.\d+)?)`) })

// ParseVersion finds Wazuh's version, like "4.14.7", in a file that names it: VERSION.json, the script bin/wazuh-control or,
// before 4.2, ossec-init.conf. It returns "" if there is none.
func ParseVersion(data []byte) string {
	if found := versionForm().FindSubmatch(data); found != nil {
		return string(found[1])
	}
	return ""
}
