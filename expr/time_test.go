package expr

import (
	"testing"

	"github.com/leat-project/leat/column"
)

// TestTimes: timestamps and durations behave as Beam's classes do.
func TestTimes(t *testing.T) {
	row := &column.RowValue{Names: []string{"t", "u", "d"}, Elems: []column.Value{column.Instant(5000), column.Instant(-1500), column.Span(14000)}}
	for _, c := range []struct{ text, want string }{
		{"str(t)", "'Timestamp(5)'"}, {"str(u)", "'Timestamp(-1.500000)'"}, {"str(d)", "'Duration(14)'"}, {"repr(t - u)", "'Duration(6.500000)'"},
		{"t.micros", "5000000"}, {"u.micros", "-1500000"}, {"d.micros", "14000000"}, {"t.seconds()", "5"}, {"u.seconds()", "-2"},
		{"t - u == 6.5", "True"}, {"t > 4", "True"}, {"t > 5.5", "False"}, {"5 == t", "True"}, {"t == u", "False"}, {"u < 0", "True"}, {"t < d", "True"},
		{"t + 1", "Timestamp(6)"}, {"1 + t", "Timestamp(6)"}, {"t + d", "Timestamp(19)"}, {"t - 0.5", "Timestamp(4.500000)"}, {"d + 1", "Duration(15)"},
		{"20 - d", "Duration(6)"}, {"d * 2", "Duration(28)"}, {"0.5 * d", "Duration(7)"}, {"-d", "Duration(-14)"}, {"t % 3", "Duration(2)"}, {"d % 4", "Duration(2)"},
		{"float(u)", "-1.5"}, {"int(u)", "-2"}, {"bool(t)", "True"}, {"t.to_rfc3339()", "'1970-01-01T00:00:05Z'"}, {"u.to_rfc3339()", "'1969-12-31T23:59:58.500000Z'"},
		{"t in [5]", "True"}, {"max(t, u)", "Timestamp(5)"}, {"sorted([t, u])", "[Timestamp(-1.500000), Timestamp(5)]"}, {"f'{t}'", "'Timestamp(5)'"},
		{"sum([d, d])", "Duration(28)"}, {"t - t or 3", "Duration(0)"},
		{"t % (d - d)", "ZeroDivisionError: integer modulo by zero"},
	} {
		if got := answer(c.text, row); got != c.want {
			t.Errorf("%s: got %s, want %s", c.text, got, c.want)
		}
	}
	for _, text := range []string{"t + t", "1 - t", "t * 2", "t + 'a'", "t < 'a'", "t.foo", "t / 2", "-t", "abs(t)"} {
		if _, problem, _ := evaluate(text, row); problem == "" {
			t.Errorf("%s is not refused", text)
		}
	}
}
