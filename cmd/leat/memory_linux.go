package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// availableMemory returns the bytes of memory that this process can have: the machine's, or the least limit of a control
// group (version 1 or 2) that it is in. 0 means not known.
func availableMemory() int64 {
	machine := machineMemory(readText("/proc/meminfo"))
	least := machine
	for _, file := range groupLimits(readText("/proc/self/cgroup"), "/sys/fs/cgroup") {
		if limit, err := strconv.ParseInt(strings.TrimSpace(readText(file)), 10, 64); err == nil && limit > 0 && (least == 0 || limit < least) {
			least = limit
		}
	}
	return least
}

func readText(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(text)
}

// machineMemory reads MemTotal, in KiB, out of /proc/meminfo.
func machineMemory(meminfo string) int64 {
	for line := range strings.Lines(meminfo) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// groupLimits returns the files that may hold a limit: those of the groups in /proc/self/cgroup and of all above them. A
// container often sees its own group as the root.
func groupLimits(cgroup, root string) []string {
	var files []string
	for line := range strings.Lines(cgroup) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		dir, name := root, "memory.max" // version 2: 0::/path
		if fields[0] != "0" || fields[1] != "" {
			if !strings.Contains(","+fields[1]+",", ",memory,") {
				continue
			}
			dir, name = filepath.Join(root, "memory"), "memory.limit_in_bytes"
		}
		for at := filepath.Clean("/" + fields[2]); ; at = filepath.Dir(at) {
			files = append(files, filepath.Join(dir, at, name))
			if at == "/" {
				break
			}
		}
	}
	return files
}
