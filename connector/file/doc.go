// Package file is what the connectors of file formats share: finding files, reading them in morsels of whole records,
// decompressing, sampling, and writing shards that appear under their final name only when they are complete.
//
// It knows no format. A line format gets morsels from Lines; a container format (Parquet, Avro) opens files itself and
// writes through Shards.Container.
package file
