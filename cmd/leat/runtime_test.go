package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/infer/library"
)

// emptyCache sets the user's cache to a new folder, and pip to one that holds nothing.
func emptyCache(t *testing.T) {
	t.Helper()
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(name, t.TempDir())
	}
	t.Setenv(library.Variable, "")
	t.Setenv("PIP_CONFIG_FILE", os.DevNull)
	t.Setenv("PIP_FIND_LINKS", t.TempDir())
	t.Setenv("PIP_NO_INDEX", "1")
}

func TestRuntimeCommands(t *testing.T) {
	emptyCache(t)
	tests := []struct {
		args []string
		code int
		says string // on either stream
	}{
		{[]string{"runtime"}, 0, "leat runtime install openvino"},
		{[]string{"runtime", "instal"}, 3, `unknown command "instal"`},
		{[]string{"runtime", "list"}, 0, "linux/arm64"},
		{[]string{"runtime", "list"}, 0, "not installed"},
		{[]string{"runtime", "list", "cpu"}, 3, "list wants no arguments"},
		{[]string{"runtime", "verify"}, 0, "nothing is installed"},
		{[]string{"runtime", "verify", "tpu"}, 3, "cpu, openvino, cuda, qnn"},
		{[]string{"runtime", "install", "tpu"}, 3, "cpu, openvino, cuda, qnn"},
		{[]string{"runtime", "install", "--help"}, 0, "PIP_INDEX_URL="},
		{[]string{"runtime", "install", "--offline"}, 1, "--offline forbids the download"},
		{[]string{"runtime", "install"}, 1, "no-index"},
	}
	for _, test := range tests {
		out, errs, code := leat(t, "", test.args...)
		if code != test.code || !strings.Contains(out+errs, test.says) {
			t.Errorf("%q: exit code %d, wanted %d and %q; printed:\n%s%s", test.args, code, test.code, test.says, out, errs)
		}
	}
}

func TestRuntimeVerifyFails(t *testing.T) {
	emptyCache(t)
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	dir := filepath.Join(cache, "leat", "runtime", "cpu-1.31.1-linux-amd64")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if user, _ := os.UserCacheDir(); user != cache {
		t.Skip("SKIPPED: the user's cache is not where XDG_CACHE_HOME says")
	}
	if _, errs, code := leat(t, "", "runtime", "verify"); code != 1 || !strings.Contains(errs, "leat runtime install cpu") {
		t.Errorf("exit code %d, printed:\n%s", code, errs)
	}
}

func TestDownloadLine(t *testing.T) {
	for _, test := range []struct {
		done int64
		want string
	}{
		{0, "░░░░░░░░░░░░░░░░░░░░   0%  0 B of 24.0 MB"},
		{6_000_000, "█████░░░░░░░░░░░░░░░  25%  6.0 MB of 24.0 MB  6 s left"},
		{24_000_000, "████████████████████ 100%  24.0 MB of 24.0 MB"},
	} {
		if got := downloadLine(test.done, 24_000_000, 2*time.Second); got != test.want {
			t.Errorf("got %q, wanted %q", got, test.want)
		}
	}
}
