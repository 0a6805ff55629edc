package main

import (
	"slices"
	"testing"
)

func TestMachineMemory(t *testing.T) {
	if got := machineMemory("MemFree: 1 kB\nMemTotal:       16303428 kB\n"); got != 16303428<<10 {
		t.Errorf("got %d", got)
	}
	if got := machineMemory(""); got != 0 {
		t.Errorf("got %d, want 0", got)
	}
	if availableMemory() <= 0 {
		t.Error("this machine has no memory")
	}
}

func TestGroupLimits(t *testing.T) {
	tests := []struct {
		name, cgroup string
		want         []string
	}{
		{"version 2", "0::/a/b\n", []string{"/sys/a/b/memory.max", "/sys/a/memory.max", "/sys/memory.max"}},
		{"root", "0::/\n", []string{"/sys/memory.max"}},
		{"version 1", "3:cpu,memory:/x\n2:cpu:/y\n", []string{"/sys/memory/x/memory.limit_in_bytes", "/sys/memory/memory.limit_in_bytes"}},
		{"nothing", "broken", nil},
	}
	for _, test := range tests {
		if got := groupLimits(test.cgroup, "/sys"); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
