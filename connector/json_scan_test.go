package connector

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/leat-project/leat/column"
)

// TestJSONNumbers compares numbers of all lengths with strconv, at each distance from the end of the text.
func TestJSONNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	var numbers []string
	for range 5000 {
		digits := func(n int) string {
			if n == 0 {
				return ""
			}
			return strconv.Itoa(1+r.IntN(9)) + fmt.Sprintf("%0*d", 20, r.Uint64()>>4)[1:n]
		}
		n := []string{"", "-"}[r.IntN(2)] + []string{"0", digits(1 + r.IntN(19))}[r.IntN(2)]
		numbers = append(numbers, n, n+"."+fmt.Sprintf("%0*d", 1+r.IntN(18), r.IntN(1000)), n+"e-3", n+".5E+2")
	}
	for i, n := range numbers {
		text := []byte(fmt.Sprintf("{\"v\":%s}%*s\n", n, i%40, ""))
		want, err := strconv.ParseFloat(n, 64)
		if err != nil {
			t.Fatal(err)
		}
		got := decodeJSON(t, field("v", floatType), text, 1)
		if row := got.rows[0]; len(row) != 1 || row[0] != want || strings.HasPrefix(fmt.Sprint(row[0]), "-") != strings.HasPrefix(n, "-") {
			t.Fatalf("%s as a float: %v %v, want %v", n, got.rows, got.bad, want)
		}
		whole, err := strconv.ParseInt(n, 10, 64)
		got = decodeJSON(t, field("v", intType), text, 1)
		if row := got.rows[0]; (err == nil) != (row != nil) || row != nil && row[0] != whole {
			t.Fatalf("%s as an integer: %v %v, want %v %v", n, got.rows, got.bad, whole, err)
		}
	}
}

func TestValidUTF8(t *testing.T) {
	pieces := []string{"a", "ascii text", "é", "ž", "馬", "😀", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff",
		"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5", "\xff", "\xc3", "\xe9\xa6", "\xf0\x9f\x98", "\xc3a", "\xe9a\xa6"}
	r := rand.New(rand.NewPCG(5, 5))
	for range 100_000 {
		var b strings.Builder
		for range r.IntN(12) {
			b.WriteString(pieces[r.IntN(12+r.IntN(len(pieces)-12))])
		}
		if text := b.String(); validUTF8([]byte(text)) != utf8.ValidString(text) {
			t.Fatalf("validUTF8(%q) = %v", text, !utf8.ValidString(text))
		}
	}
}

// TestJSONManyKeys: objects whose keys are data must neither be slow nor be learned without end.
func TestJSONManyKeys(t *testing.T) {
	var b strings.Builder
	for i := range 300 {
		b.WriteString(`{"v":` + strconv.Itoa(i))
		for k := range 30 {
			fmt.Fprintf(&b, `,"a key that is rather long %d":%d`, i*30+k, k)
		}
		b.WriteString("}\n")
	}
	r := &jsonReader{fields: field("v", intType), extra: map[string]int64{}}
	d := r.NewDecoder().(*jsonDecoder)
	got := &jsonLines{batch: 100, rows: map[int32][]any{}, bad: map[int32]string{}}
	m := morselOf(b.String())
	if err := d.Decode(t.Context(), &m, got); err != nil {
		t.Fatal(err)
	}
	for i := range int32(300) {
		if row := got.rows[i]; len(row) != 1 || row[0] != int64(i) {
			t.Fatalf("row %d: %v %s", i, row, got.bad[i])
		}
	}
	if n := len(d.root.tokens); n > maxJSONTokens {
		t.Errorf("%d tokens are kept", n)
	}
	if len(r.extra) != 9000 || r.extra["a key that is rather long 0"] != 1 {
		t.Errorf("%d further fields are counted", len(r.extra))
	}
}

// TestJSONManyNames: an object of very many fields takes time in proportion.
func TestJSONManyNames(t *testing.T) {
	const fields = 50_000
	var b strings.Builder
	for i := range fields {
		fmt.Fprintf(&b, `,"k%d":1`, i)
	}
	got := decodeJSON(t, field("a", column.AnyType), []byte(`{"a":{`+b.String()[1:]+`,"k7":2}}`), 1)
	if row, ok := got.rows[0][0].(map[string]any); !ok || len(row) != fields || row["k7"] != int64(2) {
		t.Errorf("%d bad", len(got.bad))
	}
	s := jsonScanner{text: []byte("{" + b.String()[1:] + "}\n")}
	v, _ := s.boxed(0, 0)
	a := jsonTypeOf(v)
	rotated := column.RowOf(append(a.Fields[1:len(a.Fields):len(a.Fields)], a.Fields[0])).OrNull()
	if n := len(unifyJSON(a, rotated).Fields); n != fields {
		t.Errorf("%d fields are inferred", n)
	}
}
