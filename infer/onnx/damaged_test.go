package onnx

import (
	"google.golang.org/protobuf/encoding/protowire"
	"math"
	"slices"

	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/infer/library"
	"github.com/leat-project/leat/model"
)

// childVariable makes the test binary a child that loads damaged models: "FIRST MODEL…" with the first number of damage.
const childVariable = "LEAT_TEST_DAMAGED"

// damages is how many damaged versions of models are loaded in all, fewer with -short.
const damages = 2400

func TestMain(m *testing.M) {
	if plan := os.Getenv(childVariable); plan != "" {
		loadDamaged(plan)
		return
	}
	if place := os.Getenv(openvinoVariable); place != "" {
		if err := runOpenVINO(place, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestDamagedModels loads models that are cut off, or have bytes that were changed, in a child process: none may take it down. What can
// be loaded is run once, too.
func TestDamagedModels(t *testing.T) {
	openRuntime(t)
	models := damageable(t)
	total := damages
	if testing.Short() {
		total = 200
	}
	if n, err := strconv.Atoi(os.Getenv("LEAT_TEST_DAMAGES")); err == nil {
		total = n
	}
	for next, crashes := 0, 0; next < total; {
		last, output := runChild(t, next, total, models)
		if last >= total {
			return
		}
		t.Errorf("damage %d of %s took the process down: %s", last, models[last%len(models)], output)
		if crashes++; crashes == 20 {
			t.Fatal("and more")
		}
		next = last + 1
	}
}

// damageable returns models to damage: real ones where there are any, and those that tests make.
func damageable(t *testing.T) []string {
	dir := t.TempDir()
	var paths []string
	for i, graph := range [][]byte{perceptron(8, 16, 4), spinning(), classifier(), identity(sequenceType(tensorType(1, "n")))} {
		path := filepath.Join(dir, fmt.Sprintf("made-%d.onnx", i))
		if err := os.WriteFile(path, graph, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	for _, name := range []string{"gonnx_gru", "gonnx_mlp", "gonnx_scaler", "cntk_mnist", "sklearn_randomforest", "tract_lgbm_classifier", "tract_xgb_classifier",
		"sklearn_treecl", "tribuo_skl_lr_mnist", "vespa_dummy_transformer"} {
		path, err := filepath.Abs(filepath.Join(sharedFolder(), "data", "onnx", "models", name+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// runChild returns the number of the damage that the child died of, or total, and the end of what it wrote.
func runChild(t *testing.T, next, total int, models []string) (last int, output string) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self)
	c.Env = append(os.Environ(), childVariable+"="+fmt.Sprintf("%d\n%d\n", next, total)+strings.Join(models, "\n"))
	var errors strings.Builder
	c.Stderr = &errors
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	last = next
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if n, err := strconv.Atoi(lines.Text()); err == nil {
			last = n
		} else {
			t.Log(lines.Text())
		}
	}
	if err := c.Wait(); err == nil {
		return total, ""
	}
	text := errors.String()
	return last, text[:min(len(text), 600)]
}

// loadDamaged is the child. It prints the number of each damage before it loads what is damaged.
func loadDamaged(plan string) {
	lines := strings.Split(plan, "\n")
	next, _ := strconv.Atoi(lines[0])
	total, _ := strconv.Atoi(lines[1])
	models := lines[2:]
	r := openChild()
	loaded, ran := 0, 0
	stuck := time.AfterFunc(childStuckTime, func() {
		fmt.Fprintln(os.Stderr, "it never ends")
		os.Exit(1)
	})
	for n := next; n < total; n++ {
		fmt.Println(n)
		stuck.Reset(childStuckTime)
		graph, err := os.ReadFile(models[n%len(models)])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		l, run := tryModel(r, damage(graph, uint64(n)))
		if l {
			loaded++
		}
		if run {
			ran++
		}
	}
	fmt.Printf("%d could still be loaded, and %d of these run\n", loaded, ran)
}

// damage returns a version of a graph that depends on the number only.
func damage(graph []byte, n uint64) []byte {
	random := rand.New(rand.NewPCG(n, 1))
	// Half of the changes hit the first or the last 2,000 bytes: there is the structure of small models, and weights lie between.
	place := func() int {
		switch random.IntN(4) {
		case 0:
			return random.IntN(min(len(graph), 2000))
		case 1:
			return len(graph) - 1 - random.IntN(min(len(graph), 2000))
		}
		return random.IntN(len(graph))
	}
	switch random.IntN(8) {
	case 6, 7:
		fields := 0
		alterField(graph, -1, &fields, random)
		left := random.IntN(fields)
		return alterField(graph, left, new(int), random)
	case 0: // cut off
		return graph[:place()]
	case 1: // bytes taken out
		i := place()
		return append(graph[:i], graph[min(len(graph), i+1+random.IntN(8)):]...)
	case 2: // a part doubled
		i := place()
		j := min(len(graph), i+random.IntN(64))
		return append(graph[:j:j], graph[i:]...)
	}
	for range 1 + random.IntN(8) { // bits or bytes changed
		i := place()
		switch random.IntN(4) {
		case 0:
			graph[i] = byte(random.IntN(256))
		case 1:
			graph[i] = [...]byte{0, 1, 0x7f, 0x80, 0xff}[random.IntN(5)]
		default:
			graph[i] ^= 1 << random.IntN(8)
		}
	}
	return graph
}

// alterField alters the field with that number of a message and of those within it, so that the lengths around it stay right: such a model
// gets past the parser. seen counts the fields.
func alterField(b []byte, which int, seen *int, random *rand.Rand) []byte {
	var out []byte
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeField(b)
		if n < 0 {
			return append(out, b...)
		}
		field, rest := b[:n:n], b[n:]
		hit := *seen == which
		*seen++
		_, _, tag := protowire.ConsumeTag(field)
		switch {
		case hit && random.IntN(4) == 0: // left out, or doubled
			if random.IntN(2) == 0 {
				field = nil
			} else {
				field = append(field, field...)
			}
		case hit && typ == protowire.VarintType:
			value := [...]uint64{0, 1, 2, 7, 127, 1 << 31, 1 << 40, 1<<63 - 1, 1 << 63, math.MaxUint64, math.MaxUint64 - 1}[random.IntN(11)]
			field = protowire.AppendVarint(field[:tag:tag], value)
		case hit && typ == protowire.Fixed32Type:
			field = protowire.AppendFixed32(field[:tag:tag], random.Uint32())
		case typ == protowire.BytesType:
			data, _ := protowire.ConsumeBytes(field[tag:])
			if isMessage(data) {
				data = alterField(data, which, seen, random)
			} else if hit {
				data = alterBytes(data, random)
			}
			field = protowire.AppendBytes(protowire.AppendTag(nil, num, typ), data)
		}
		out, b = append(out, field...), rest
	}
	return out
}

// isMessage reports whether bytes could be a message of ONNX's.
func isMessage(b []byte) bool {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeField(b)
		if n < 0 || num > 30 || typ == protowire.StartGroupType {
			return false
		}
		b = b[n:]
	}
	return true
}

func alterBytes(data []byte, random *rand.Rand) []byte {
	switch {
	case len(data) == 0 || random.IntN(3) == 0:
		return append(data[:len(data):len(data)], "abc"[:1+random.IntN(3)]...)
	case random.IntN(2) == 0:
		return data[:random.IntN(len(data))]
	}
	data = slices.Clone(data)
	data[random.IntN(len(data))] ^= 1 << random.IntN(8)
	return data
}

// tryModel loads a model and runs it once, where that is possible. Errors are what is expected.
func tryModel(r *Runtime, graph []byte) (loaded, ran bool) {
	if _, err := model.ReadGraph(graph); err != nil { // as every package is read first
		return false, false
	}
	s, err := r.Load(context.Background(), infer.Source{Name: "damaged", Bytes: graph}, infer.Options{})
	if err != nil {
		return false, false
	}
	defer s.Close()
	inputs := make([]infer.Value, len(s.Inputs()))
	for i, in := range s.Inputs() {
		inputs[i] = zeros(in)
	}
	ctx, cancel := context.WithTimeout(context.Background(), childRunTime)
	defer cancel()
	results, err := s.Run(ctx, inputs, nil)
	if err != nil {
		return true, false
	}
	results.Close()
	return true, true
}

// zeros is a value that an input takes, of small size; nil where none is known.
func zeros(in model.ValueInfo) infer.Value {
	if in.Kind != model.TensorValue {
		return nil
	}
	t := &infer.Tensor{DType: in.DType}
	for _, d := range in.Shape {
		if d < 0 || d > 1<<20 {
			d = 1
		}
		t.Shape = append(t.Shape, d)
	}
	n := t.Len()
	if n < 0 || n > 1<<24 {
		return nil
	}
	if in.DType == model.String {
		t.Strings = make([]string, n)
		return t
	}
	t.Data = make([]byte, in.DType.Bytes(n))
	return t
}

// childRunTime is how long a damaged model may run, as one whose loop never ends.
const childRunTime = 200 * time.Millisecond

// childStuckTime is how long a model may take that does not heed the end of its context.
const childStuckTime = 10 * time.Second

// openChild opens the library with a limit on memory, so that a damaged size is an error.
func openChild() *Runtime {
	l, err := library.Find(library.Options{Offline: true})
	if err == nil {
		var r *Runtime
		if r, err = Open(Config{Path: l.Path, Preload: l.Preload, MemoryLimit: 1 << 28}); err == nil {
			return r
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
	return nil
}
