package main

import "testing"

func TestParseBytes(t *testing.T) {
	tests := []struct {
		text string
		want int64
	}{
		{"512MiB", 512 << 20}, {"2GB", 2e9}, {"1.5g", 3 << 29}, {"1048576", 1 << 20}, {" 64 kib ", 64 << 10}, {"1TB", 1e12}, {"7b", 7},
	}
	for _, test := range tests {
		if got, err := parseBytes(test.text); err != nil || got != test.want {
			t.Errorf("%q: got %d, %v, want %d", test.text, got, err, test.want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "0", "nan", "1e30", "12 parsecs", "0.1"} {
		if got, err := parseBytes(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestFormatting(t *testing.T) {
	tests := []struct{ got, want string }{
		{formatBytes(0), "0 B"}, {formatBytes(999), "999 B"}, {formatBytes(1000), "1.0 kB"}, {formatBytes(99_950), "100 kB"},
		{formatBytes(1_234_567), "1.2 MB"}, {formatBytes(5e15), "5000 TB"},
		{formatCount(0), "0"}, {formatCount(999), "999"}, {formatCount(1000), "1,000"}, {formatCount(-1234567), "-1,234,567"},
		{formatDuration(1_500_000), "1.5 ms"}, {formatDuration(250e6), "250 ms"}, {formatDuration(1.5e9), "1.50 s"},
		{formatDuration(59e9), "59.0 s"}, {formatDuration(61e9), "1m01s"}, {formatDuration(3660e9), "1h01m"},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestScalar(t *testing.T) {
	tests := []struct {
		text string
		want any
	}{
		{"true", true}, {"false", false}, {"True", "True"}, {"3", int64(3)}, {"-3", int64(-3)}, {"1.5", 1.5}, {"1.50", "1.50"},
		{"007", "007"}, {"1e3", "1e3"}, {"+1", "+1"}, {"NaN", "NaN"}, {"", ""}, {"a b", "a b"}, {"99999999999999999999", "99999999999999999999"},
	}
	for _, test := range tests {
		if got := scalar(test.text); got != test.want {
			t.Errorf("%q: got %#v, want %#v", test.text, got, test.want)
		}
	}
}
