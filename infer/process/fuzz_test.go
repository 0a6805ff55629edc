//go:build unix

package process

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"runtime"
	"testing"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// echo is a runtime whose sessions return their inputs.
type echo struct{ infer.Runtime }

func (echo) Version() string     { return "echo" }
func (echo) Providers() []string { return nil }
func (echo) Load(context.Context, infer.Source, infer.Options) (infer.Session, error) {
	return echoSession{}, nil
}

type echoSession struct{ fakeSession }

func (echoSession) Run(_ context.Context, inputs []infer.Value, _ []int) (*infer.Results, error) {
	return infer.NewResults(inputs, nil), nil
}

// samples are values of every form.
func samples() [][]infer.Value {
	floats, words := infer.NewTensor([]float32{1, 2, 3, 4, 5, 6}, 2, 3), infer.NewStrings([]string{"", "a\x00", "ä"}, 3)
	ints := infer.NewTensor([]int64{1, 2, 3}, 3)
	return [][]infer.Value{
		{},
		{nil},
		{floats, ints, words, infer.NewTensor([]bool{true}, 1), infer.NewTensor([]int8{7}, []int64{}...)},
		{infer.NewStrings([]string{}, 0), &infer.Tensor{DType: model.Float32, Shape: []int64{0, 5}}},
		{&infer.Sequence{Elems: []infer.Value{floats, nil, &infer.Map{Keys: words, Values: ints}}}, &infer.Map{Keys: ints, Values: words}},
		{&infer.Sequence{Elems: []infer.Value{&infer.Sequence{Elems: []infer.Value{}}}}},
		{infer.NewTensor(make([]byte, smallPayload+1), smallPayload+1), infer.NewTensor([]uint8{1, 2, 3}, 3), infer.NewTensor(make([]byte, smallPayload), smallPayload)},
		{infer.NewTensor(make([]byte, 3*maxBlind+5), 3*maxBlind+5)},
	}
}

// conversation is what a parent may say.
func conversation(t testing.TB, values []infer.Value) []byte {
	t.Helper()
	var all bytes.Buffer
	p := newPipe(nil, &all)
	opening, err1 := jsonMessage(openRequest{Path: []byte("p")})
	loading, err2 := jsonMessage(loadRequest{Name: "m"})
	run := &message{}
	run.numbers([]int{0})
	run.count(len(values))
	for _, v := range values {
		if err := run.value(v, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(err1, err2, p.write(kindOpen, 1, opening), p.write(kindLoad, 2, loading), p.write(kindRun, 3, run),
		p.write(kindCancel, 3, &message{})); err != nil {
		t.Fatal(err)
	}
	return all.Bytes()
}

// TestRoundTrip sends values through frames.
func TestRoundTrip(t *testing.T) {
	var stream bytes.Buffer
	p := newPipe(&stream, &stream)
	for i, values := range samples() {
		m := &message{}
		m.numbers([]int{i, -1})
		m.count(len(values))
		for _, v := range values {
			if err := m.value(v, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.write(kindRun, uint64(i), m); err != nil {
			t.Fatal(err)
		}
		f, err := p.read()
		if err != nil || f.kind != kindRun || f.id != uint64(i) {
			t.Fatalf("found %v, %v", f, err)
		}
		d := decoder{head: f.head, payload: f.payload}
		numbers, err := d.numbers()
		if err != nil || !reflect.DeepEqual(numbers, []int{i, -1}) {
			t.Errorf("numbers %v, %v", numbers, err)
		}
		got, err := d.values()
		if err != nil || !reflect.DeepEqual(got, values) {
			t.Errorf("values %d: wanted %v, found %v, %v", i, values, got, err)
		}
		p.recycle(f.payload)
	}
	if _, err := p.read(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// TestDamage flips each byte of a conversation, and cuts it everywhere: the server may take it amiss, but lives.
func TestDamage(t *testing.T) {
	whole := conversation(t, samples()[4])
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range whole {
		damaged := bytes.Clone(whole)
		for _, b := range []byte{0, 0xff, whole[i] ^ 1, whole[i] ^ 0x80} {
			damaged[i] = b
			converse(damaged)
		}
		converse(whole[:i])
	}
	runtime.ReadMemStats(&after)
	// A length that promises much costs maxBlind at most; 5 bytes of 4 frames' lengths can promise so much.
	t.Logf("%d conversations took %d MiB", 5*len(whole), (after.TotalAlloc-before.TotalAlloc)>>20)
	if took := after.TotalAlloc - before.TotalAlloc; took > 200*maxBlind {
		t.Errorf("%d bytes were taken", took)
	}
}

// converse lets a server hear a text, and a parent as well.
func converse(text []byte) {
	s := newServer(bytes.NewReader(text), io.Discard, func(Library) (infer.Runtime, error) { return echo{}, nil })
	_ = s.serve()
	p := newPipe(bytes.NewReader(text), io.Discard)
	for {
		f, err := p.read()
		if err != nil {
			return
		}
		d := decoder{head: f.head, payload: f.payload}
		_, _ = d.values()
		p.recycle(f.payload)
	}
}

func FuzzFrame(f *testing.F) {
	for _, values := range samples()[:6] {
		f.Add(conversation(f, values))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		converse(text)
		d := decoder{head: text}
		_, _ = d.numbers()
		// What can be read can be written, and reads the same.
		d = decoder{head: text, payload: make([]byte, 64)}
		values, err := d.values()
		if err != nil {
			return
		}
		m := &message{}
		m.count(len(values))
		for _, v := range values {
			if err := m.value(v, 0); err != nil {
				t.Fatal(err)
			}
		}
		payload := bytes.Join(m.parts, nil)
		payload = append(payload, make([]byte, 64)...)[:m.size]
		if len(m.parts) > 1 { // whose padding is between them
			return
		}
		d = decoder{head: m.head, payload: payload}
		again, err := d.values()
		if err != nil || !reflect.DeepEqual(again, values) {
			t.Errorf("wanted %v, found %v, %v", values, again, err)
		}
	})
}
