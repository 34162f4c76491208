package misptest

import "strings"

// A Cost is what questions have cost a MISP.
type Cost struct {
	Questions int // of all kinds
	Searches  int // of them, those that count for the rate limit of a role
	Rows      int // attributes that the database examined for them, see below
	Events    int // events that it examined
	Bytes     int // of the answers to searches
}

// Cost returns what was asked so far.
func (s *Server) Cost() Cost {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cost
}

// Minus returns what was added to an earlier cost.
func (c Cost) Minus(before Cost) Cost {
	return Cost{
		c.Questions - before.Questions, c.Searches - before.Searches, c.Rows - before.Rows, c.Events - before.Events,
		c.Bytes - before.Bytes,
	}
}

func (s *Server) count(add func(*Cost)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	add(&s.cost)
}

// examined returns how many rows of attributes a real database reads for a page. It reads and drops what is before the
// page. A filter on a value, a time or events has an index; but with an order by id and a filter on a time, MariaDB goes
// through the index of the ids, all over the table (findings of a real MISP 2.5: EXPLAIN says PRIMARY). The caller holds
// mu.
func (s *Server) examined(q map[string]any, found, limit int) int {
	order, _ := q["order"].(string)
	byID := strings.HasPrefix(strings.ToLower(order), "attribute.id")
	timed := on(q["timestamp"]) || on(q["attribute_timestamp"]) || on(q["publish_timestamp"]) || on(q["last"])
	if byID && timed && len(texts(q["eventid"])) == 0 {
		return len(s.attributes)
	}
	if limit > 0 {
		return min(found, pageOf(q["page"])*limit)
	}
	return found
}
