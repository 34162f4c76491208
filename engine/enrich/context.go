package enrich

import (
	"maps"

	"custom-misp/engine"
)

// maxContext is the longest text of the context of an event, in bytes. An event that is too long has its texts cut at this
// length first, see [Enrichment.JSON].
const maxContext = 4000

// contexts makes what mappings show of one alert, once for each mapping: an alert can have a thousand events.
type contexts struct {
	engine *engine.Engine
	alert  []byte
	made   map[string]mappingContext
}

// mappingContext is what one mapping shows.
type mappingContext struct {
	texts map[string]string
	cut   bool // one of them was
}

// of returns the context of an event, by its picks, and whether a text was cut. Of two texts with the same key, it is the
// first. Other events may share the map.
func (c *contexts) of(picks []engine.Pick) (texts map[string]string, cut bool) {
	first := c.mapping(picks[0].Mapping)
	texts, cut = first.texts, first.cut
	shared := true
	for _, pick := range picks[1:] {
		next := c.mapping(pick.Mapping)
		for key, text := range next.texts {
			if _, have := texts[key]; have {
				continue
			}
			if shared {
				own := make(map[string]string, len(texts)+len(next.texts))
				maps.Copy(own, texts)
				texts, shared = own, false
			}
			texts[key], cut = text, cut || next.cut
		}
	}
	return texts, cut
}

func (c *contexts) mapping(id string) mappingContext {
	if m, have := c.made[id]; have {
		return m
	}
	m := mappingContext{texts: c.engine.Context(id, c.alert)}
	for key, text := range m.texts {
		if len(text) > maxContext {
			m.texts[key], m.cut = cut(text, maxContext), true
		}
	}
	if c.made == nil {
		c.made = map[string]mappingContext{}
	}
	c.made[id] = m
	return m
}
