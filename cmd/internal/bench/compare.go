package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// compareFiles compares two results as multisets of rows. JSON objects are compared by their values, so that the order of
// keys and the writing of numbers do not matter; floats to twelve digits; a time in RFC 3339 equals the same in seconds.
func compareFiles(a, b string) error {
	rows := make(map[string]int)
	if err := eachRow(a, func(row string) { rows[row]++ }); err != nil {
		return err
	}
	count := 0
	if err := eachRow(b, func(row string) { rows[row]--; count++ }); err != nil {
		return err
	}
	var first, second string
	differ := 0
	for row, n := range rows {
		switch {
		case n > 0:
			first = row
			differ += n
		case n < 0:
			second = row
			differ -= n
		}
	}
	if differ > 0 {
		return fmt.Errorf("%d rows differ: one has %q, the other %q", differ, first, second)
	}
	if count == 0 {
		return fmt.Errorf("both results are empty")
	}
	return nil
}

// eachRow calls f with each row of a result, in a form that can be compared.
func eachRow(prefix string, f func(row string)) error {
	files, err := filepath.Glob(prefix + "*")
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := eachLine(name, func(line string) { f(canonical(line)) }); err != nil {
			return err
		}
	}
	return nil
}

func eachLine(name string, f func(line string)) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		f(s.Text())
	}
	return s.Err()
}

func canonical(line string) string {
	if !strings.HasPrefix(line, "{") {
		cells := strings.Split(line, ",")
		for i, c := range cells {
			if v, err := strconv.ParseFloat(c, 64); err == nil {
				cells[i] = number(v)
			}
		}
		return strings.Join(cells, ",")
	}
	var row map[string]any
	if json.Unmarshal([]byte(line), &row) != nil {
		return line
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(row)) {
		fmt.Fprintf(&b, "%s=%s;", k, value(row[k]))
	}
	return b.String()
}

func value(v any) string {
	switch v := v.(type) {
	case float64:
		return number(v)
	case string:
		if t, err := time.Parse(time.RFC3339, v); err == nil {
			return number(float64(t.UnixMilli()) / 1000)
		}
		return v
	}
	return fmt.Sprint(v)
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 12, 64) }
