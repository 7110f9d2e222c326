package reading

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
)

//go:embed label-rules.md
var labelRules string

// LabelRules is the document by which readings are right or wrong.
func LabelRules() string { return labelRules }

//go:embed model.bin
var modelFile []byte

// Card is what a model says about itself; it is part of the model's file.
type Card struct {
	Format      int    `json:"format"`
	Lexicon     string `json:"lexicon"` // what a model can read with: Space of its features
	Corpus      string `json:"corpus"`  // SHA-256 of what it was trained on
	Examples    int    `json:"examples"`
	Seeds       int    `json:"seeds"`       // … of which written by hand
	Corrections int    `json:"corrections"` // … of which reps' corrections
	Hashed      int    `json:"hashed"`      // rows of hashed features

	// One temperature for each head and one for the flags: scores are divided by it.
	Temperature [Heads + 1]float64 `json:"temperature"`
	// What is made of each head's probability at last, when the heads have settled.
	Sure [Heads]Sureness `json:"sure"`
	// How often reporters answer what, given what is right: by head, right
	// value, answer. Learned from corrections.
	Answers [Heads][][]float64 `json:"answers"`
	// How often each value is right at all, for where words say nothing.
	Usual [Heads][]float64 `json:"usual"`

	Papers `json:"-"` // stand in the file apart, packed
}

// Papers are for people; nothing is read with them.
type Papers struct {
	Rules    string          `json:"rules"` // label-rules.md
	Measures json.RawMessage `json:"measures,omitempty"`
}

// mostPapers bounds what the file of a model may ask for: 4 MB.
const mostPapers = 4 << 20

const modelFormat = 3

var modelMagic = []byte("onrecord model\n")

// Model is a trained model, ready to read with.
type Model struct {
	Card    Card
	version string
	lex     *lexicon

	dense  []int8   // by row and output, in 1/16
	table  []slot   // of hashed features, open addressing
	sieve  []uint64 // a bit for each of them: most features of a text have no row
	hashed []int8   // by row and output, in 1/64
	temper [Heads + 1]int64
	sure   [Heads]sureness
	// logarithms of Card.Answers in 1/fineOne and Card.Usual in probOne
	likely [Heads][][]int64
	usual  [Heads][]int64
}

// sieveBits is the size of the sieve: 32 KiB, near the processor.
const sieveBits = 1 << 18

type slot struct {
	feature Feature // 0 when free
	row     int32
}

// maxHashed bounds what the file of a model may ask for: 4 MB.
const maxHashed = 100_000

// Scales of the stored weights.
const (
	denseScale  = 16
	hashedScale = scoreOne
)

// Space names the lexicon and the rules that make features: those of another
// space mean other things.
func Space() string { return loadLexicon().version }

// Encode returns the file of a model: its card; packed, its papers and its weights,
// rounded to whole numbers; and a SHA-256 over all of it. Dense has a row for each
// dense feature; hashed one for each of features, which stand in order, each
// written as how far it is from the one before.
func Encode(card Card, dense []float64, features []Feature, hashed []float64) ([]byte, error) {
	card.Format, card.Lexicon, card.Rules, card.Hashed = modelFormat, Space(), labelRules, len(features)
	text, err := json.Marshal(card)
	if err != nil {
		return nil, err
	}
	papers, err := json.Marshal(card.Papers)
	if err != nil {
		return nil, err
	}
	content := append(binary.AppendUvarint(nil, uint64(len(papers))), papers...)
	for _, w := range dense {
		content = append(content, byte(rounded(w, denseScale)))
	}
	for _, w := range hashed {
		content = append(content, byte(rounded(w, hashedScale)))
	}
	before := Feature(0)
	for _, f := range features {
		content = binary.AppendUvarint(content, uint64(f-before))
		before = f
	}
	var b bytes.Buffer
	b.Write(modelMagic)
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(text))))
	b.Write(text)
	if err := pack(&b, content); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b.Bytes())
	b.Write(sum[:])
	return b.Bytes(), nil
}

func pack(to io.Writer, what []byte) error {
	w, err := flate.NewWriter(to, flate.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(what); err != nil {
		return err
	}
	return w.Close()
}

// unpack refuses what would be longer than most.
func unpack(packed []byte, most int) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), int64(most)+1))
	if err == nil && len(out) > most {
		err = errors.New("they are too many")
	}
	return out, err
}

func rounded(w float64, scale int) int8 {
	return int8(min(max(math.Floor(float64(w*float64(scale))+0.5), -127), 127))
}

// Decode reads the file of a model. A file that is damaged, or was made for
// another lexicon, is refused.
func Decode(file []byte) (*Model, error) {
	body, sum := file[:max(len(file)-sha256.Size, 0)], file[max(len(file)-sha256.Size, 0):]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, errors.New("the model's file is damaged: its checksum does not fit")
	}
	rest, ok := bytes.CutPrefix(body, modelMagic)
	if !ok || len(rest) < 4 {
		return nil, errors.New("not the file of a model")
	}
	n := int(binary.LittleEndian.Uint32(rest))
	if rest = rest[4:]; n > len(rest) {
		return nil, errors.New("the model's file is cut off")
	}
	m := &Model{lex: loadLexicon(), version: "words-" + hex.EncodeToString(sum[:5])}
	if err := json.Unmarshal(rest[:n], &m.Card); err != nil {
		return nil, fmt.Errorf("the model's card: %w", err)
	}
	if m.Card.Format != modelFormat {
		return nil, fmt.Errorf("the model is of format %d, this program reads %d", m.Card.Format, modelFormat)
	}
	if m.Card.Lexicon != Space() {
		return nil, fmt.Errorf("the model was made for the lexicon %s, this program has %s: train it again", m.Card.Lexicon, Space())
	}
	return m, m.load(rest[n:])
}

func (m *Model) load(packed []byte) error {
	if m.Card.Hashed < 0 || m.Card.Hashed > maxHashed {
		return errors.New("the model's card says that it has more weights than any model")
	}
	dense := m.lex.denseRows() * outputs
	fixed := dense + m.Card.Hashed*outputs
	content, err := unpack(packed, mostPapers+fixed+m.Card.Hashed*binary.MaxVarintLen32)
	if err != nil {
		return fmt.Errorf("the model's weights: %w", err)
	}
	weights, err := m.loadPapers(content)
	if err != nil {
		return err
	}
	wrongSize := errors.New("the model's weights are not of the size that its card says")
	if len(weights) < fixed {
		return wrongSize
	}
	signed := func(b []byte) []int8 {
		out := make([]int8, len(b))
		for i := range b {
			out[i] = int8(b[i])
		}
		return out
	}
	m.dense, m.hashed = signed(weights[:dense]), signed(weights[dense:fixed])
	size := 16
	for size < 2*m.Card.Hashed {
		size *= 2
	}
	m.table, m.sieve = make([]slot, size), make([]uint64, sieveBits/64)
	steps, f := weights[fixed:], Feature(0)
	for row := range m.Card.Hashed {
		step, n := binary.Uvarint(steps)
		if n <= 0 || step == 0 || uint64(f)+step > math.MaxUint32 {
			return wrongSize
		}
		steps, f = steps[n:], f+Feature(step)
		m.sieve[f%sieveBits/64] |= 1 << (f % 64)
		at := int(f) & (size - 1)
		for m.table[at].feature != 0 {
			at = (at + 1) & (size - 1)
		}
		m.table[at] = slot{f, int32(row)}
	}
	if len(steps) > 0 {
		return wrongSize
	}
	for i, t := range m.Card.Temperature {
		if !(t >= 0.05 && t <= 20) {
			return fmt.Errorf("a temperature of %v", t)
		}
		m.temper[i] = int64(math.Floor(fineOne/scoreOne/t + 0.5))
	}
	for h, s := range m.Card.Sure {
		if m.sure[h], err = s.load(); err != nil {
			return err
		}
	}
	return m.loadAnswers()
}

// loadPapers takes a model's papers off the content of its file.
func (m *Model) loadPapers(content []byte) (rest []byte, err error) {
	size, n := binary.Uvarint(content)
	if n <= 0 || size > uint64(len(content)-n) {
		return nil, errors.New("the model's papers are cut off")
	}
	rest = content[n+int(size):]
	if err := json.Unmarshal(content[n:n+int(size)], &m.Card.Papers); err != nil {
		return nil, fmt.Errorf("the model's papers: %w", err)
	}
	return rest, nil
}

func (m *Model) loadAnswers() error {
	for h := range Heads {
		n := len(headValues[h])
		if len(m.Card.Usual[h]) != n || len(m.Card.Answers[h]) != n {
			return errors.New("the card's tables are not of the taxonomy's size")
		}
		for _, p := range m.Card.Usual[h] {
			if !(p >= 0 && p <= 1) {
				return errors.New("the card's tables hold what is no probability")
			}
			m.usual[h] = append(m.usual[h], int64(math.Floor(float64(p*float64(probOne)))))
		}
		for _, row := range m.Card.Answers[h] {
			if len(row) != n || slices.ContainsFunc(row, func(p float64) bool { return !(p > 0 && p <= 1) }) {
				return errors.New("the card's tables hold what is no probability")
			}
			logs := make([]int64, n)
			for i, p := range row {
				logs[i] = inFine(Log(p))
			}
			m.likely[h] = append(m.likely[h], logs)
		}
	}
	return nil
}

// embedded is the model that is part of the program. It is read by its tests,
// so a mistake in it panics.
var embedded = sync.OnceValue(func() *Model {
	m, err := Decode(modelFile)
	if err != nil {
		panic(err)
	}
	return m
})

// Embedded returns the model that is part of the program.
func Embedded() *Model { return embedded() }

// File returns the file of the model that is part of the program.
func File() []byte { return modelFile }

// Version names the model, after its content.
func (m *Model) Version() string { return m.version }

// row returns the row of a hashed feature, or -1.
func (m *Model) row(f Feature) int32 {
	if m.sieve[f%sieveBits/64]&(1<<(f%64)) == 0 {
		return -1
	}
	for at := int(f) & (len(m.table) - 1); ; at = (at + 1) & (len(m.table) - 1) {
		switch m.table[at].feature {
		case f:
			return m.table[at].row
		case 0:
			return -1
		}
	}
}
