package file_test

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// others returns what reference/read_files.py says of files: a row each, as JSON lists.
func others(t *testing.T, dir string, names []string) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("SKIPPED: python3 is not on this machine, so nothing was read by other programs")
	}
	if err := exec.Command(python, "-c", "import fastavro, pyarrow").Run(); err != nil {
		t.Skip("SKIPPED: python3 has no fastavro and pyarrow on this machine, so nothing was read by other programs")
	}
	args := []string{"../../reference/read_files.py"}
	for _, name := range names {
		args = append(args, filepath.Join(dir, name))
	}
	out, err := exec.Command(python, args...).Output()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return string(out)
}
