// Command fuzz runs every fuzz target of the repository for a while, one after another.
//
//	go run ./cmd/internal/fuzz -time 30s
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

var target = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

func main() {
	length := flag.String("time", "30s", "how long to run each target")
	only := flag.String("only", "", "targets to run, by a part of their names")
	flag.Parse()
	targets, err := find(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
	failed := false
	for _, t := range targets {
		if !strings.Contains(t[1], *only) {
			continue
		}
		fmt.Printf("%s %s\n", t[0], t[1])
		cmd := exec.Command("go", "test", "-run=^$", "-fuzz=^"+t[1]+"$", "-fuzztime="+*length, "-fuzzminimizetime=1x", t[0])
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// find returns the package and name of each target, in order.
func find(root string) ([][2]string, error) {
	var out [][2]string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range target.FindAllSubmatch(text, -1) {
			out = append(out, [2]string{"./" + filepath.ToSlash(filepath.Dir(path)), string(m[1])})
		}
		return err
	})
	sort.Slice(out, func(i, j int) bool { return out[i][0]+out[i][1] < out[j][0]+out[j][1] })
	return out, err
}
