package classifier

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/onrecord/onrecord/services/classifier/corpus"
	"github.com/onrecord/onrecord/services/classifier/internal/reading"
	"github.com/onrecord/onrecord/services/classifier/internal/training"

	examples "github.com/onrecord/onrecord/services/classifier/internal/corpus"
)

// BuiltIn returns the reader that is part of the program, as NewReader does, or
// an error where its lexicon was edited since and it must be trained again.
func BuiltIn() (Reader, error) { return OpenReader(reading.File()) }

// OpenReader returns the reader of a model's file, as Train made it. A file
// that is damaged, or of another lexicon than this program's, is refused.
func OpenReader(file []byte) (Reader, error) {
	m, err := reading.Decode(file)
	if err != nil {
		return nil, err // not a nil *Model in a Reader
	}
	return m, nil
}

// Correction is what a person decided about a report, without its words: the
// features of the words and the right answers. One JSON object a line is what
// Train takes. Features are as toxic as the words: see Features.
type Correction = training.Correction

// Features returns a Correction that holds the features of words and no labels
// yet. Whoever has it can try which words were likely in them.
func Features(words string) Correction {
	s := reading.Features(words)
	return Correction{Space: reading.Space(), Features: s.Features, Lettered: s.Lettered}
}

// MakeFeatures returns the features of words in the form in which they are kept
// until somebody trains: as toxic as the words.
func MakeFeatures(words string) ([]byte, error) { return json.Marshal(Features(words)) }

// ReadFeatures returns features that were kept as a Correction without labels,
// or an error where they are of another lexicon than this program's: then they
// must be made of the words again.
func ReadFeatures(kept []byte) (Correction, error) {
	var c Correction
	if err := json.Unmarshal(kept, &c); err != nil {
		return c, errors.New("the features that were kept cannot be read")
	}
	if c.Space != reading.Space() {
		return c, fmt.Errorf("the features that were kept are of the lexicon %q, this program has %s", c.Space, reading.Space())
	}
	return Correction{Space: c.Space, Features: c.Features, Lettered: c.Lettered}, nil
}

// TrainConfig is what Train learns from.
type TrainConfig struct {
	Corpus      fs.FS     // nil: the one this program was built with
	Corrections io.Reader // one Correction a line; may be nil
	Current     Reader    // the model in use: one that reads worse is refused. Nil: nothing is compared
}

// Trained is a new model and how it compares.
type Trained struct {
	File        []byte
	Version     string
	Examples    int
	Corrections int
	// How the texts that no training sees are read, by the new model and by the
	// one in use, which is nil when nothing was compared.
	HeldOut, Before *Evaluation
	Unseen          *Evaluation // of the former, those in manners of which nothing was learned
	OtherVoices     Evaluation
}

// ErrWorse is returned with a model that reads the held-out texts worse than
// the one in use: a point less of any field, or five less of any value and more than one text.
var ErrWorse = training.ErrWorse

// Train makes a model. The same corpus, corrections and program make the same
// bytes. With an error that is ErrWorse, Trained says how it compares, and has
// no file.
func Train(c TrainConfig) (Trained, error) {
	if c.Corpus == nil {
		c.Corpus = corpus.Files
	}
	all, err := examples.Read(c.Corpus)
	if err != nil {
		return Trained{}, fmt.Errorf("corpus: %w", err)
	}
	corrections, err := readCorrections(c.Corrections)
	if err != nil {
		return Trained{}, err
	}
	file, err := training.Train(all, corrections)
	if err != nil {
		return Trained{}, err
	}
	m, err := reading.Decode(file)
	if err != nil {
		return Trained{}, err
	}
	var measures training.Measures
	if err := json.Unmarshal(m.Card.Measures, &measures); err != nil {
		return Trained{}, err
	}
	t := Trained{File: file, Version: m.Version(), Examples: m.Card.Examples, Corrections: m.Card.Corrections,
		HeldOut: measures.HeldOut, Unseen: measures.Unseen, OtherVoices: measures.OtherVoices}
	if c.Current == nil || t.HeldOut == nil {
		return t, nil
	}
	before := training.Measure(c.Current, all.Of(examples.HeldOut))
	t.Before = &before
	if err := training.Worse(before, *t.HeldOut); err != nil {
		t.File = nil
		return t, err
	}
	return t, nil
}

// readCorrections reads a Correction a line; every mistake names its line.
func readCorrections(in io.Reader) ([]Correction, error) {
	if in == nil {
		return nil, nil
	}
	var all []Correction
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	n := 1
	for ; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var c Correction
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return nil, fmt.Errorf("corrections, line %d: %s", n, whatIsWrong(err))
		}
		if err := checkFeatures(c); err != nil {
			return nil, fmt.Errorf("corrections, line %d: %w", n, err)
		}
		all = append(all, c)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("corrections, line %d: longer than %d MiB", n, maxLine>>20)
	}
	return all, lines.Err()
}

// checkFeatures refuses features that no text has: said again and again, one would
// weigh as much as whoever wrote the file likes.
func checkFeatures(c Correction) error {
	sorted := slices.Sorted(slices.Values(c.Features))
	if len(slices.Compact(sorted)) < len(c.Features) {
		return errors.New("a feature stands there twice")
	}
	if c.Lettered > maxLine {
		return errors.New("“lettered” is more than any text has")
	}
	return nil
}
