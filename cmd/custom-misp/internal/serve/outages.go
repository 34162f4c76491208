package serve

import (
	"sync"
	"time"

	"custom-misp/engine/enrich"
)

// An outageCount counts the outages of MISP servers that have begun. It is safe for concurrent use.
type outageCount struct {
	mu    sync.Mutex
	count map[string]int
	since map[string]time.Time // of the one that was counted last
}

// look counts an outage that has begun.
func (c *outageCount) look(servers []enrich.ServerOutage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == nil {
		c.count, c.since = map[string]int{}, map[string]time.Time{}
	}
	for _, s := range servers {
		if o, err := s.Outage.Load(); err == nil && o.Unreachable() && !o.Since.Equal(c.since[s.Name]) {
			c.since[s.Name] = o.Since
			c.count[s.Name]++
		}
	}
}

// of returns how many there were of a server.
func (c *outageCount) of(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[name]
}

// all returns how many there were of all servers.
func (c *outageCount) all() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range c.count {
		n += of
	}
	return n
}
