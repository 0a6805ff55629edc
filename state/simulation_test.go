package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leat-project/leat/internal/vfs"
)

// The simulation runs the protocol of checkpoints over a disk, a source and two sinks in memory, on one goroutine. The machine crashes at
// any operation of the disk or of a sink; what was not synced is then lost, torn, or there. A seed gives the same schedule each time.

// disk is a file system that forgets at a crash what was not synced.
type disk struct {
	rng     *rand.Rand
	now     map[string]*content // names as the running machine sees them
	durable map[string]*content // as they are after a crash
	pending []change            // of names, since the folder was synced
	step    func()              // before each operation; it may crash
	full    bool                // writes fail
}

type content struct {
	data   []byte
	synced int
}

type change struct {
	name string
	to   *content // nil: removed
}

var _ vfs.FS = (*disk)(nil)

func newDisk(rng *rand.Rand) *disk {
	return &disk{rng: rng, now: map[string]*content{}, durable: map[string]*content{}, step: func() {}}
}

// crash leaves what a machine finds when it starts again: changes of names up to some point, and of each file what was synced, with a part of the
// rest, perhaps spoilt.
func (d *disk) crash() {
	for _, c := range d.pending[:d.rng.IntN(len(d.pending)+1)] {
		d.durable = applied(d.durable, c)
	}
	for _, f := range d.durable {
		keep := f.synced + d.rng.IntN(len(f.data)-f.synced+1)
		f.data = bytes.Clone(f.data[:keep])
		if keep > f.synced && d.rng.IntN(2) == 0 {
			f.data[f.synced+d.rng.IntN(keep-f.synced)] ^= 0x55
		}
		f.synced = len(f.data)
	}
	d.now, d.pending = map[string]*content{}, nil
	for name, f := range d.durable {
		d.now[name] = f
	}
}

func applied(names map[string]*content, c change) map[string]*content {
	if c.to == nil {
		delete(names, c.name)
	} else {
		names[c.name] = c.to
	}
	return names
}

func (d *disk) change(c change) {
	applied(d.now, c)
	d.pending = append(d.pending, c)
}

func (d *disk) Create(name string) (vfs.File, error) {
	d.step()
	if d.now[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	f := &content{}
	d.change(change{name, f})
	return &diskFile{d, f}, nil
}

func (d *disk) Rename(from, to string) error {
	d.step()
	f := d.now[from]
	if f == nil {
		return fs.ErrNotExist
	}
	d.change(change{to, f})
	d.change(change{from, nil})
	return nil
}

func (d *disk) Remove(name string) error {
	d.step()
	if d.now[name] == nil {
		return fs.ErrNotExist
	}
	d.change(change{name, nil})
	return nil
}

func (d *disk) MkdirAll(string) error { return nil }

func (d *disk) Open(name string) (io.ReadCloser, error) {
	f := d.now[name]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(f.data)), nil
}

func (d *disk) List(dir string) ([]string, error) {
	var out []string
	for name := range d.now {
		if filepath.Dir(name) == dir {
			out = append(out, filepath.Base(name))
		}
	}
	slices.Sort(out)
	return out, nil
}

func (d *disk) SyncDir(string) error {
	d.step()
	for _, c := range d.pending {
		d.durable = applied(d.durable, c)
	}
	d.pending = nil
	return nil
}

type diskFile struct {
	d *disk
	f *content
}

var errFull = errors.New("no space left on device")

func (f *diskFile) Write(p []byte) (int, error) {
	f.d.step()
	if f.d.full {
		half := len(p) / 2
		f.f.data = append(f.f.data, p[:half]...)
		return half, errFull
	}
	f.f.data = append(f.f.data, p...)
	return len(p), nil
}

func (f *diskFile) Sync() error {
	f.d.step()
	if f.d.full {
		return errFull
	}
	f.f.synced = len(f.f.data)
	return nil
}

func (f *diskFile) Close() error { return nil }

// server is what a transactional sink writes to. It does not crash.
type server struct {
	epoch int64
	rows  []int
}

// simSink is the sink as one process has it.
type simSink struct {
	*server
	open []int
	step func()
}

func (s *simSink) Recover(ctx context.Context, epoch int64, staged []byte) error {
	return s.CommitEpoch(ctx, epoch, staged)
}

func (s *simSink) CommitEpoch(_ context.Context, epoch int64, staged []byte) error {
	s.step()
	if epoch > s.epoch && staged != nil {
		var rows []int
		if err := json.Unmarshal(staged, &rows); err != nil {
			return err
		}
		s.epoch, s.rows = epoch, append(s.rows, rows...)
	}
	s.step()
	return nil
}

type crashed struct{}

// machine is one life of the process.
type machine struct {
	store *Store
	sinks map[string]*simSink
	next  int // of the source
	sum   int
}

// read takes rows of the source: each goes to the state and to both sinks.
func (m *machine) read(rng *rand.Rand, rows int) {
	for range rng.IntN(4) {
		if m.next == rows {
			return
		}
		m.sum += m.next
		for _, s := range m.sinks {
			s.open = append(s.open, m.next)
		}
		m.next++
	}
}

func (m *machine) participants() map[string]Participant {
	out := map[string]Participant{}
	for name, s := range m.sinks {
		out[name] = s
	}
	return out
}

// checkpoint is what the engine does at a turn and after it.
func (m *machine) checkpoint(ctx context.Context, d *disk) error {
	c := &Checkpoint{Job: "sim", Epoch: m.store.NextEpoch(), Sources: []Source{{Name: "source", Morsels: int64(m.next)}}}
	for _, name := range []string{"a", "b"} {
		staged, err := json.Marshal(m.sinks[name].open)
		if err != nil {
			return err
		}
		c.Sinks = append(c.Sinks, Sink{Name: name, Staged: staged})
		m.sinks[name].open = nil
	}
	last := m.store.LastFile()
	state := []byte(strings.Repeat(fmt.Sprint(m.sum, " "), 3)) // at the turn: rows that come while it is written are not in it
	for {
		f, err := m.store.WriteFile(m.store.NextFile(), func(w io.Writer) error {
			for part := range slices.Chunk(state, 7) {
				if _, err := w.Write(part); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			c.Parts = []Part{{Name: "sum", Files: []File{f}}}
			err = m.store.Decide(c)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, errFull) {
			return err
		}
		d.full = d.rng.IntN(3) > 0
	}
	for {
		err := m.store.Commit(ctx, c, m.participants())
		if err == nil {
			break
		}
		if !errors.Is(err, errFull) {
			return err
		}
		d.full = false
	}
	return m.store.Clean(last)
}

// start begins a life from what is on the disk.
func start(ctx context.Context, d *disk, servers map[string]*server, step func()) (*machine, error) {
	store, err := Open(d, "/state")
	if err != nil {
		return nil, err
	}
	m := &machine{store: store, sinks: map[string]*simSink{}}
	for name, s := range servers {
		m.sinks[name] = &simSink{server: s, step: step}
	}
	c, _, err := store.Load()
	if err != nil {
		return nil, err
	}
	if err := Recover(ctx, c, m.participants()); err != nil {
		return nil, err
	}
	if c == nil {
		return m, nil
	}
	m.next = int(c.Sources[0].Morsels)
	data, err := store.read(store.Path(c.Parts[0].Files[0]))
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Sscan(string(data), &m.sum); err != nil {
		return nil, err
	}
	return m, nil
}

// simulate runs one seed to its end and returns how often the machine crashed.
func simulate(t *testing.T, seed uint64) (crashes int) {
	t.Helper()
	const rows = 60
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(seed, 77))
	d, servers := newDisk(rng), map[string]*server{"a": {}, "b": {}}
	var m *machine
	step := func() {
		if m != nil && rng.IntN(3) == 0 {
			m.read(rng, rows) // rows go on while a checkpoint is written
		}
		if rng.IntN(40) == 0 && crashes < 40 {
			panic(crashed{})
		}
	}
	life := func() (done bool, err error) {
		defer func() {
			if p := recover(); p != nil {
				if _, ok := p.(crashed); !ok {
					panic(p)
				}
				m = nil
				d.crash()
				crashes++
			}
		}()
		d.step = step
		m, err = start(ctx, d, servers, step)
		if err != nil {
			return false, err
		}
		for {
			m.read(rng, rows)
			d.full = rng.IntN(10) == 0
			end := m.next == rows
			if err := m.checkpoint(ctx, d); err != nil || end {
				return end, err
			}
		}
	}
	for {
		done, err := life()
		if err != nil {
			t.Fatalf("seed %d, after %d crashes: %v", seed, crashes, err)
		}
		if done {
			break
		}
	}
	for name, s := range servers {
		for i, row := range s.rows {
			if i != row {
				t.Fatalf("seed %d: sink %s has row %d at %d: %v", seed, name, row, i, s.rows)
			}
		}
		if len(s.rows) != rows {
			t.Fatalf("seed %d: sink %s has %d rows, want %d", seed, name, len(s.rows), rows)
		}
	}
	if want := rows * (rows - 1) / 2; m.sum != want {
		t.Fatalf("seed %d: the state is %d, want %d", seed, m.sum, want)
	}
	return crashes
}

// TestSimulation runs thousands of schedules. In each every row is in the state and in both sinks, once.
func TestSimulation(t *testing.T) {
	seeds := uint64(5000)
	if testing.Short() {
		seeds = 500
	}
	crashes := 0
	for seed := range seeds {
		crashes += simulate(t, seed)
	}
	if crashes < int(seeds) {
		t.Errorf("%d crashes in %d schedules: too few to tell anything", crashes, seeds)
	}
	t.Logf("%d schedules, %d crashes", seeds, crashes)
}
