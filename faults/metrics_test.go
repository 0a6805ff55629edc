package faults

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// metric reads the sum of a metric's series that have a label; -1 where there are none.
func metric(t *testing.T, listen, name, label string) int64 {
	t.Helper()
	answer, err := http.Get("http://" + listen + "/metrics")
	if err != nil {
		return -1
	}
	defer answer.Body.Close()
	sum := int64(-1)
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		line := lines.Text()
		if !strings.HasPrefix(line, name+"{") || !strings.Contains(line, label) {
			continue
		}
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum = max(sum, 0) + int64(value)
	}
	return sum
}
