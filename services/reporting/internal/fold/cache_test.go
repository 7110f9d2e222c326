package fold

import "testing"

func TestTheCacheKeepsWhatWasUsedLastWithinItsLimit(t *testing.T) {
	c := newCache[string](10, func(weight int) int { return weight })
	for _, k := range []string{"a", "b", "c"} {
		c.use(k, 2) // weighs 3 with its overhead
		c.keepUsed()
	}
	if _, ok := c.get("a"); !ok {
		t.Fatal("a is gone")
	}
	c.use("a", 2)
	c.use("d", 2)
	c.keepUsed()
	for k, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if _, ok := c.get(k); ok != want {
			t.Errorf("%s kept=%t, want %t", k, ok, want)
		}
	}
	c.keepUsed()
	c.use("huge", 99)
	c.keepUsed()
	if c.weight != 0 || len(c.byKey) != 0 || c.recent.Len() != 0 {
		t.Errorf("weight=%d, %d keys, %d in order; want none: one document is over the limit", c.weight, len(c.byKey), c.recent.Len())
	}
}

func TestTheCacheForgetsWhatAFailedTransactionUsed(t *testing.T) {
	c := newCache[string](100, func(int) int { return 1 })
	c.use("before", 1)
	c.use("other", 1)
	c.keepUsed()
	c.get("before")
	c.use("new", 1)
	c.forgetUsed()
	for k, want := range map[string]bool{"before": false, "new": false, "other": true} {
		if _, ok := c.get(k); ok != want {
			t.Errorf("%s kept=%t, want %t", k, ok, want)
		}
	}
}
