// Package corpus holds the examples that the reader of reports is trained and
// measured with, as they stand in this directory: our own writing, with labels.
// Their format stands at services/classifier/internal/corpus.
package corpus

import "embed"

// Files are the seeds, the templates and the fillers of their slots.
//
//go:embed seeds templates slots
var Files embed.FS
