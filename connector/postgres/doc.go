// Package postgres reads and writes tables of PostgreSQL.
//
// ReadFromPostgres describes its statement to learn the schema, asks the server for the few types that it decodes, and reads binary rows. A
// table can be read in ranges of a column side by side, all in one snapshot, or followed for ever by a rising column.
//
// WriteToPostgres encodes rows as COPY's text, which every type of column understands. In a stream the rows of an epoch are staged in a file
// first, and loaded in one transaction that also notes the epoch in the table leat_epochs: an epoch is there once, however often it is tried.
package postgres
