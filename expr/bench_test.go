package expr

import (
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

func BenchmarkEval(b *testing.B) {
	row := &column.RowValue{Names: []string{"i", "f", "s", "l"}, Elems: []column.Value{int64(12345), 2.5, "Hello World",
		&column.ListValue{Elems: []column.Value{int64(1), int64(2), int64(3)}}}}
	for _, text := range []string{"i * 2 + 1", "i > 3 and f < 9.5", "s.upper()", "f'{s}: {f:.2f}'", "[x + 1 for x in l if x > 1]", "s.split(' ')[0]", "sum(l) / len(l)", "round(f, 2)", "str(i)", "f ** 1.5", "i // 7 % 5"} {
		b.Run(text, func(b *testing.B) {
			src, problems := source(text), &diag.List{}
			e := ParsePython(src, problems)
			if e == nil || !Check(e, src, column.TypeOf(row).Fields, problems) {
				b.Fatal(problems.Problems[0])
			}
			env := rowEnv{row}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Eval(env); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
