package engine

import (
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/plan"
)

// A morsel without rows moves the position on, and is no sign of life: a partition that is idle stays so.
func TestBareMorselsKeepPartitionsIdle(t *testing.T) {
	for _, bare := range []bool{false, true} {
		f := newFeed(&node{Node: &plan.Node{}}, newQueue(), 1)
		f.part("p").quiet = true
		p := <-f.free
		p.morsel = catalog.Morsel{Partition: "p", Position: "7", Bare: bare}
		f.processed(p)
		if f.isQuiet("p") != bare || f.positions["p"] != "7" {
			t.Errorf("bare %t: idle is %t, at %q", bare, f.isQuiet("p"), f.positions["p"])
		}
	}
}
