// Package connector holds the connectors of text files, one file or two each: CSV, JSON, text, TFRecord. Those that bring
// a library of their own have folders: avro, parquet. What all of them share is in file.
//
// A connector registers itself with catalog.AddSource or AddSink, which make a transform of it. It is no transform of rows: it
// knows formats, not pipelines. Decoders are driven by the schema and scan straight into the columns that a plan
// wants; a record that cannot be decoded is a bad record with its file and line, never a panic.
package connector
