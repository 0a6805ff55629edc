package diag

import (
	"sort"
	"strings"
)

// Suggest returns the known word nearest to word, or "" where none is near. Case is ignored.
func Suggest(word string, known []string) string {
	best, bestDistance := "", 1+max(1, len(word)/3)
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k), bestDistance); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// DidYouMean returns a hint for an unknown name: the nearest known one, else all of them while they are few.
func DidYouMean(word, kind string, known []string) string {
	if s := Suggest(word, known); s != "" {
		return "Did you mean \"" + s + "\"?"
	}
	if len(known) == 0 {
		return ""
	}
	sorted := append([]string(nil), known...)
	sort.Strings(sorted)
	const most = 12
	if len(sorted) > most {
		return "Known " + kind + ": " + strings.Join(sorted[:most], ", ") + ", …"
	}
	return "Known " + kind + ": " + strings.Join(sorted, ", ") + "."
}

// distance is the number of insertions, deletions, replacements and swaps of neighbours from a to b
// (Damerau 1964, restricted), or limit where it is at least that.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	x, y := []rune(a), []rune(b)
	var before []int
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(x); i++ {
		next := make([]int, len(y)+1)
		next[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return min(row[len(y)], limit)
}
