// Package all registers every connector. Only commands and tests import it.
package all

import (
	_ "github.com/leat-project/leat/connector"
	_ "github.com/leat-project/leat/connector/avro"
	_ "github.com/leat-project/leat/connector/parquet"
)
