package main

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"custom-misp/cmd/custom-misp/internal/config"
)

// limits names for each row of the tables in the section Limits the constant that it is about, as package.name, or the key of
// the configuration.
var limits = asMap([][2]string{
	{"length", "enrich.MaxAlert"},
	{"levels of nesting", "enrich.maxDepth"},
	{"groups", "engine.maxCandidates"},
	{"values that mappings pick", "engine.MaxObservables"},
	{"values that no mapping knows, and that mappings with fallback pick", "fallback.max_values"},
	{"values that MISP is asked for", "engine.MaxValues"},
	{"matches of one value", "enrich.MaxMatches"},
	{"matches of all its values", "enrich.MaxAnswer"},
	{"memory of the attributes that match", "enrich.maxAnswerBytes"},
	{"matches of an alert that is looked up together with others", "enrich.maxTogether"},
	{"candidates of one pick", "engine.maxCandidates"},
	{"length of a value", "engine.MaxValue"},
	{"length of a text that scan reads", "engine.maxScan"},
	{"arrays in arrays below the path of a pick", "engine.maxNesting"},
	{"texts that a step of decode makes of one, and encoded parts that scan reads of one text", "engine.maxDecoded"},
	{"encodings in encodings that scan follows", "engine.maxLayers"},
	{"values that scan keeps from one text", "engine.maxFound"},
	{"work of a regex: bytes of the text times instructions", "engine.maxPatternWork"},
	{"steps of all expressions: bytes of texts and items of lists that they read and make", "engine.maxExprWork"},
	{"attributes that are reported as sightings", "enrich.maxSightings"},
	{"an array, or an alert in several lines, in a file for a verb", "wazuh.maxDocument"},
	{"a line in a file for a verb", "wazuh.maxLine"},
	{"indicators, and agents, that backtest counts", "backtest.MaxIndicators"},
	{"days that backtest counts", "backtest.MaxDays"},
	{"agents that backtest counts for one indicator", "backtest.maxAgentsOf"},
	{"a text of source.context", "enrich.maxContext"},
	{"an event: length", "enrich.MaxEvent"},
	{"length of a text in it", "enrich.MaxText"},
	{"digits in the id of the agent", "wazuh.maxID"},
	{"name and address of the agent, each", "wazuh.maxName"},
	{"all of that together", "wazuh.maxDatagram"},
	{"events that are remembered, so that none is sent twice", "enrich.dedupEntries"},
	{"length, also of tests, of the configuration, and of the files that these name", "yamlfile.MaxSize"},
	{"alerts of each decoder and rule, and of each mapping, from which lint --alerts has the nearest names", "mappingtest.SampledOfEach"},
	{"decoders with rules of which it has such alerts", "mappingtest.maxKinds"},
	{"windows in which repeats are counted", "enrich.maxWindows"},
	{"length of the events that are kept for them", "enrich.maxRepeatEvents"},
	{"agents that a summary names", "enrich.maxStormAgents"},
	{"length of the file of mutes", "app.maxMutes"},
	{"MISP events that quality counts in a day", "app.maxQualityRows"},
	{"nodes that it repeats through aliases", "yamlfile.maxRepeats"},
	{"nodes of an expression", "engine.maxExprNodes"},
	{"values that an expression holds", "engine.exprMemory"},
	{"length of a text that an expression makes", "engine.maxExprText"},
	{"text of <options> in ossec.conf", "config.maxOptions"},
	{"time of a call by integratord", "timeout"},
	{"time of one try", "misp.timeout"},
	{"time of one page of a walk", "mirror.timeout"},
	{"values in one question", "api.maxValues"},
	{"values in one question of the daemon, if MISP is likely to answer it within 250 ms", "app.liveMost"},
	{"attributes in one page of an answer", "api.pageSize"},
	{"pages of one answer", "api.maxPages"},
	{"length of an answer", "api.maxAnswer"},
	{"tags of an attribute, and of an event, galaxies included", "misp.MaxTags"},
	{"length of a tag", "misp.MaxTag"},
	{"warninglists of an attribute", "misp.MaxWarninglists"},
	{"length of a text as JSON", "api.maxText"},
	{"time of one sync of a source, feeds and lists too", "mirror.UsualMost"},
	{"times that the rest of a file is asked for that breaks off", "mirror.maxResumed"},
	{"time that a server may have us wait (Retry-After)", "mirror.longestAsked"},
	{"sources that the verb sync syncs at the same time", "main.syncParallel"},
	{"MISP servers that files of sources declare", "source.MaxServers"},
	{"events in the list of all events", "api.maxEvents"},
	{"attributes of an event of MISP in the mirror", "api.maxReading"},
	{"patterns in one question: paths with variables and parts of registry keys", "api.maxPatterns"},
	{"manifest of a feed", "mirror.maxManifest"},
	{"events that the manifest names", "feed.maxEvents"},
	{"an event of a feed", "mirror.maxEvent"},
	{"attributes, or objects, of an event of a feed", "api.maxEventAttributes"},
	{"events that one sync of a feed reads, together", "mirror.maxFeed"},
	{"attributes of a feed", "mirror.maxFeedAttributes"},
	{"length of a list, decompressed", "mirror.maxList"},
	{"values of a list", "mirror.maxListValues"},
	{"length of a row of a list", "mirror.maxRow"},
	{"columns of a row of a list", "mirror.maxColumns"},
	{"pages that one sync asks a server for (TAXII, OTX)", "mirror.maxPages"},
	{"length of such a page", "mirror.maxPage"},
	{"time of such a page", "mirror.maxPageTime"},
	{"pages in a row without an object that did not come before", "source.maxFruitless"},
	{"collections of a TAXII server", "source.maxCollections"},
	{"networks of a source", "mirror.maxNetworks"},
	{"lists of a source of warninglists", "mirror.MaxWarninglists"},
	{"files of a directory that are looked at for warninglists", "mirror.maxTree"},
	{"length of MISP's list of its warninglists", "mirror.maxIndex"},
	{"patterns and parts of values of a warninglist", "mirror.MaxPatterns"},
	{"length of an entry of a warninglist", "mirror.MaxListed"},
	{"patterns and parts of values of all warninglists of a source", "mirror.maxListPatterns"},
	{"bytes of one look-up that are compared with them", "mirror.maxListWork"},
	{"files of a source on the disk, each", "mirror.maxSegment"},
	{"attributes with one value that are read of a source", "mirror.maxRead"},
	{"bytes of records that one look-up reads", "mirror.maxWork"},
	{"a file of the directory", "feed.maxFile"},
	{"events of the directory", "feed.maxEvents"},
	{"attributes of the directory that can be looked up", "feed.maxAttributes"},
	{"queued alerts and events, together", "spool.max_entries"},
	{"length of all of them", "spool.max_mib"},
	{"time of a call for what earlier ones queued", "spool.drain_time"},
	{"tries of a queued alert, see [When MISP is unreachable](../../examples/README.md#when-misp-is-unreachable)", "spool.MaxTries"},
	{"dead letters, alerts and events each", "spool.maxDeadLetters"},
	{"wait for a place in Wazuh's queue", "wazuh.send_timeout"},
	{"values of an alert that are asked for together with others", "app.liveValues"},
	{"alerts in the spool, for a further one that needs a damaged part of the mirror", "enrich.maxDamaged"},
	{"alerts that events of archives.json are compared with, those of the last minute", "alertlog.maxRemembered"},
	{"alerts of an outage that MISP is asked about later", "serve.laterAlerts"},
	{"bytes of these alerts", "serve.laterBytes"},
	{"values of the history that one indicator of a sync is compared with", "lookback.maxEntries"},
	{"values of the history that match 50,000 indicators of a sync", "lookback.maxHits"},
	{"agents on which an indicator of a sync has an event", "lookback.MaxAgents"},
	{"agents that the summary of a look-back names", "lookback.maxSummaryAgents"},
	{"indicators of a source whose look-up is remembered", "lookback.maxKnown"},
	{"hits of look-backs that are remembered as reported", "lookback.maxReported"},
	{"connections at the socket, and at serve.listen, each", "serve.maxConnections"},
	{"time for the head of a request", "serve.headerTime"},
	{"time for a request", "serve.requestTime"},
	{"time for an answer", "serve.answerTime"},
	{"files that are watched for a reload", "serve.maxWatched"},
})

// asMap returns rows as a map.
func asMap(rows [][2]string) map[string]string {
	m := map[string]string{}
	for _, row := range rows {
		m[row[0]] = row[1]
	}
	return m
}

// TestReadmeLimits compares each number in the section Limits with the constant or the option that it is about.
func TestReadmeLimits(t *testing.T) {
	_, section, _ := strings.Cut(readDocument(t, adminReadme), "\n## Limits\n")
	section, _, _ = strings.Cut(section, "\n## ")
	known := constants(t)
	seen := map[string]bool{}
	of := ""
	for _, m := range regexp.MustCompile(`(?m)^\| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$`).FindAllStringSubmatch(section, -1) {
		what := strings.ReplaceAll(m[1], "`", "")
		if m[2] == "limit" {
			of = strings.TrimPrefix(what, "of ")
			continue
		}
		if limits[of+": "+what] != "" {
			what = of + ": " + what
		}
		name := limits[what]
		if name == "" || seen[what] {
			t.Errorf("%q: no constant is named for this row, or there are two of it", what)
			continue
		}
		seen[what] = true
		want, ok := known[name]
		if !ok {
			want, ok = optionDefault(name)
			if !strings.HasSuffix(m[2], " (`"+name+"`)") {
				t.Errorf("%q: the row does not name the key %s", what, name)
			}
		}
		if got, said := quantity(m[2]); !ok || !said || got != want {
			t.Errorf("%q: %q is %d, but %s is %d", what, m[2], got, name, want)
		}
		if number := regexp.MustCompile(`[0-9]{2,}`).FindString(m[3] + m[4]); number != "" {
			t.Errorf("%q: the number %s is not compared with anything; leave it out", what, number)
		}
	}
	for what := range limits {
		if !seen[what] {
			t.Errorf("no row %q", what)
		}
	}
}

// quantity returns the number at the beginning of a cell: a count, bytes, or nanoseconds.
func quantity(cell string) (n int64, ok bool) {
	m := regexp.MustCompile("^([0-9]{1,3}(?:,[0-9]{3})*)(?: (bytes|KiB|MiB|GiB|s))?(?: \\(`[a-z_.]+`\\))?$").FindStringSubmatch(cell)
	if m == nil {
		return 0, false
	}
	unit := map[string]int64{"": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "s": int64(time.Second)}[m[2]]
	n, ok = constant.Int64Val(constant.MakeFromLiteral(strings.ReplaceAll(m[1], ",", ""), token.INT, 0))
	return n * unit, ok
}

// optionDefault returns the default of a key of the configuration, as quantity does.
func optionDefault(key string) (n int64, ok bool) {
	m := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(key) + "` \\| `([0-9a-z]+)` \\|").FindStringSubmatch(config.Reference())
	if m == nil {
		return 0, false
	}
	if d, err := time.ParseDuration(m[1]); err == nil {
		return int64(d), true
	}
	n, ok = constant.Int64Val(constant.MakeFromLiteral(m[1], token.INT, 0))
	if strings.HasSuffix(key, "_mib") {
		n <<= 20
	}
	return n, ok
}

// constants returns the whole numbers among the constants that the packages declare, also those that only they themselves can
// use, by package and name.
func constants(t *testing.T) map[string]int64 {
	t.Helper()
	c := constantReader{map[string]ast.Expr{}}
	err := filepath.WalkDir(root, func(name string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err == nil {
			c.add(f)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]int64{}
	for name, expr := range c.declared {
		pkg, _, _ := strings.Cut(name, ".")
		if n, ok := constant.Int64Val(constant.ToInt(c.value(pkg, expr))); ok {
			values[name] = n
		}
	}
	return values
}

type constantReader struct{ declared map[string]ast.Expr }

func (c constantReader) add(f *ast.File) {
	for _, decl := range f.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			if s, ok := spec.(*ast.ValueSpec); ok {
				for i := range min(len(s.Names), len(s.Values)) {
					c.declared[f.Name.Name+"."+s.Names[i].Name] = s.Values[i]
				}
			}
		}
	}
}

// value returns the value of an expression in a package; one that is unknown for what is not needed here.
func (c constantReader) value(pkg string, expr ast.Expr) constant.Value {
	switch e := expr.(type) {
	case *ast.BasicLit:
		return constant.MakeFromLiteral(e.Value, e.Kind, 0)
	case *ast.ParenExpr:
		return c.value(pkg, e.X)
	case *ast.Ident:
		if declared := c.declared[pkg+"."+e.Name]; declared != nil {
			return c.value(pkg, declared)
		}
	case *ast.SelectorExpr:
		from, ok := e.X.(*ast.Ident)
		if unit := map[string]time.Duration{"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour}[e.Sel.Name]; ok && from.Name == "time" {
			return constant.MakeInt64(int64(unit))
		}
		if ok && c.declared[from.Name+"."+e.Sel.Name] != nil {
			return c.value(from.Name, c.declared[from.Name+"."+e.Sel.Name])
		}
	case *ast.BinaryExpr:
		x, y := c.value(pkg, e.X), c.value(pkg, e.Y)
		if x.Kind() != constant.Int || y.Kind() != constant.Int {
			break
		}
		if e.Op == token.SHL {
			n, _ := constant.Uint64Val(y)
			return constant.Shift(x, e.Op, uint(n))
		}
		if e.Op == token.MUL {
			return constant.BinaryOp(x, e.Op, y)
		}
	}
	return constant.MakeUnknown()
}
