package intake

import (
	"math"
	"strconv"
)

// Wanted returns the least offset of some positions of a source with one partition, which a log is of. One without a position begins at the beginning.
func Wanted(positions []map[string]string) int64 {
	least := int64(math.MaxInt64)
	for _, p := range positions {
		at, err := strconv.ParseInt(p[""], 10, 64)
		if err != nil {
			at = 0
		}
		least = min(least, at)
	}
	return least
}
