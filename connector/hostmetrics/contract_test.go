package hostmetrics

import (
	"testing"

	"github.com/leat-project/leat/connector/contract"
	"github.com/leat-project/leat/diag"
)

func TestContract(t *testing.T) {
	contract.Source(t, contract.SourceCase{
		Bound: contract.Bound{
			Connector: "ReadFromHostMetrics",
			Config:    func(string) map[string]any { return map[string]any{"every": "10ms"} },
			Wrong: []contract.Wrong{
				{Name: "all", Set: map[string]any{"every": "1ms", "limit": int64(0), "metrics": []any{"proccessor"}},
					Want: map[string]diag.Code{"every": diag.BadDuration, "limit": diag.BadValue, "metrics": diag.BadValue}},
				{Name: "no length", Set: map[string]any{"every": "soon"}, Want: map[string]diag.Code{"every": diag.BadDuration}},
			},
		},
		OwnRows: true,
		Start: func(t *testing.T) *contract.Place {
			return &contract.Place{Config: map[string]any{"every": "1h"}}
		},
	})
}
