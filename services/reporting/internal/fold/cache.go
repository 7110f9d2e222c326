package fold

import "container/list"

// cache keeps the documents used last, up to a weight in all. Documents used
// since the last keepUsed are held apart, because a transaction that fails
// takes their changes back.
type cache[K comparable, V any] struct {
	limit  int
	weigh  func(V) int
	weight int
	byKey  map[K]*list.Element // of slot[K, V]
	recent *list.List          // the one used last in front
	used   map[K]bool
}

type slot[K comparable, V any] struct {
	key    K
	value  V
	weight int
}

func newCache[K comparable, V any](limit int, weigh func(V) int) *cache[K, V] {
	return &cache[K, V]{limit: limit, weigh: weigh, byKey: make(map[K]*list.Element), recent: list.New(), used: make(map[K]bool)}
}

func (c *cache[K, V]) get(k K) (v V, ok bool) {
	e, ok := c.byKey[k]
	if !ok {
		return v, false
	}
	// Whoever gets it may change it, so it counts as used from now on.
	c.used[k] = true
	return e.Value.(slot[K, V]).value, true
}

// use keeps v, as written by the transaction that is under way.
func (c *cache[K, V]) use(k K, v V) {
	c.forget(k)
	c.used[k] = true
	s := slot[K, V]{k, v, c.weigh(v) + 1}
	c.byKey[k] = c.recent.PushFront(s)
	c.weight += s.weight
}

func (c *cache[K, V]) forget(k K) {
	if e, ok := c.byKey[k]; ok {
		c.weight -= c.recent.Remove(e).(slot[K, V]).weight
		delete(c.byKey, k)
	}
}

// forgetUsed forgets what the transaction used: it failed.
func (c *cache[K, V]) forgetUsed() {
	for k := range c.used {
		c.forget(k)
	}
	clear(c.used)
}

// keepUsed keeps what the transaction used, within the limit: it was committed.
func (c *cache[K, V]) keepUsed() {
	clear(c.used)
	for c.weight > c.limit && c.recent.Len() > 0 {
		c.forget(c.recent.Back().Value.(slot[K, V]).key)
	}
}
