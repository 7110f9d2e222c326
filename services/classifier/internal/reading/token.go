package reading

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// token is one word of a narrative.
type token struct {
	start, end int32 // bytes of the narrative
	from, to   int32 // its normalised letters in scratch.letters
	word       int32 // index in the vocabulary, or unknownWord
	breaks     pause // what stands between it and the word before
}

// pause is how far one word is cut off from the word before it.
type pause uint8

const (
	noPause  pause = iota
	clause         // a comma, a colon, a dash, brackets
	sentence       // a full stop, a question or exclamation mark, a semicolon
)

const unknownWord int32 = -1

// mostBytes of a text are read, three times the longest report: each word takes
// some hundred times its size while it is read.
const mostBytes = 64 << 10

// starred is what any word with letters starred out is read as: the word that
// was meant does not matter, that it was starred out does.
const starred = "*"

// vocabulary maps a normalised word to its index. When learn is set, unknown
// words are added: that is how the lexicon itself is read.
type vocabulary struct {
	index map[string]int32
	learn bool
	typos typos
}

// scratch is what the tokeniser needs between words; it is reused.
type scratch struct {
	norm, alt []byte
	letters   []byte // of all words of the text
}

// tokenise appends the words of text to into, of its first mostBytes. A line break
// is a space: people break lines anywhere. Any bytes are accepted; those that are
// not UTF-8 end a word.
func (v *vocabulary) tokenise(text string, into []token, s *scratch) []token {
	text = text[:min(len(text), mostBytes)]
	breaks := noPause
	s.letters = s.letters[:0]
	for i := 0; i < len(text); {
		r, size := runeAt(text, i)
		if isWordRune(r) {
			end := s.word(text, i)
			from := int32(len(s.letters))
			s.letters = append(s.letters, s.norm...)
			into = append(into, token{int32(i), int32(end), from, int32(len(s.letters)), v.lookup(s), breaks})
			breaks = noPause
			i = end
			continue
		}
		breaks = max(breaks, pauseOf(r))
		i += size
	}
	return into
}

func runeAt(text string, i int) (rune, int) {
	if c := text[i]; c < utf8.RuneSelf {
		return rune(c), 1
	}
	return utf8.DecodeRuneInString(text[i:])
}

func pauseOf(r rune) pause {
	switch r {
	case '.', '!', '?', ';', '…':
		return sentence
	case ',', ':', '(', ')', '–', '—', '"', '“', '”':
		return clause
	}
	return noPause
}

func isWordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

// word normalises the word that begins at text[i] into s.norm and returns
// where it ends. Apostrophes inside it are kept, a possessive or contracted 's
// is cut off, and a word with letters starred out becomes starred.
func (s *scratch) word(text string, i int) (end int) {
	s.norm = s.norm[:0]
	letters, stars, isStarred := 0, 0, false
	for i < len(text) {
		r, size := runeAt(text, i)
		switch {
		case isWordRune(r):
			isStarred = isStarred || stars > 0
			letters, stars = letters+1, 0
			s.norm = appendFolded(s.norm, r)
			end = i + size
		case r == '*':
			stars++
			// "c***", but not "important**": few letters before the stars
			if stars >= 2 && letters <= 3 {
				isStarred, end = true, i+1
			}
		case isApostrophe(r):
			s.norm = append(s.norm, '\'')
		case r >= utf8.RuneSelf && unicode.In(r, unicode.Mn, unicode.Cf):
			// combining marks and invisible characters do not end a word
		default:
			s.finish(isStarred)
			return end
		}
		i += size
	}
	s.finish(isStarred)
	return end
}

func (s *scratch) finish(isStarred bool) {
	if isStarred && len(s.norm) > 0 && unicode.IsLetter(rune(s.norm[0])) { // a mark that is a letter leaves nothing
		s.norm = append(s.norm[:0], starred...)
		return
	}
	s.norm = bytes.TrimRight(s.norm, "'")
	if cut, ok := bytes.CutSuffix(s.norm, []byte("'s")); ok && len(cut) > 0 {
		s.norm = cut
	}
}

func isApostrophe(r rune) bool {
	switch r {
	case '\'', '‘', '’', 'ʼ', '′', '´', '`', '＇':
		return true
	}
	return false
}

// lookup returns the index of s.norm. A letter written three times or more is
// tried as two and then as one: "fuuuuck", "helllp".
func (v *vocabulary) lookup(s *scratch) int32 {
	if id, ok := v.index[string(s.norm)]; ok {
		return id
	}
	if v.learn {
		id := int32(len(v.index))
		v.index[string(s.norm)] = id
		return id
	}
	for _, most := range []int{2, 1} {
		if !s.squeeze(most) {
			return v.typo(s.norm, &s.alt)
		}
		if id, ok := v.index[string(s.alt)]; ok {
			return id
		}
	}
	return unknownWord
}

// squeeze writes s.norm to s.alt with runs of three and more of the same
// letter cut to most, and reports whether there was one. Digits stay: 999.
func (s *scratch) squeeze(most int) (found bool) {
	s.alt = s.alt[:0]
	for i := 0; i < len(s.norm); {
		run := 1
		for i+run < len(s.norm) && s.norm[i+run] == s.norm[i] {
			run++
		}
		keep := run
		if c := s.norm[i]; run >= 3 && (c < '0' || c > '9') && c < utf8.RuneSelf {
			keep, found = most, true
		}
		s.alt = append(s.alt, s.norm[i:i+keep]...)
		i += run
	}
	return found
}

// appendFolded appends what a letter is read as: small, and without what does
// not change the word: full width, the styled letters of social media, accents
// (many leave them off, in Welsh too). That is its compatibility decomposition
// without combining marks.
func appendFolded(to []byte, r rune) []byte {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return append(to, byte(r))
	}
	if base, ok := undecomposed[r]; ok {
		return append(to, base)
	}
	var encoded [utf8.UTFMax]byte
	letters := norm.NFKD.Properties(encoded[:utf8.EncodeRune(encoded[:], r)]).Decomposition()
	if letters == nil {
		return utf8.AppendRune(to, unicode.ToLower(r))
	}
	for len(letters) > 0 {
		r, size := utf8.DecodeRune(letters)
		letters = letters[size:]
		if isWordRune(r) {
			to = utf8.AppendRune(to, unicode.ToLower(r))
		}
	}
	return to
}

// undecomposed are Latin letters that Unicode does not take apart.
var undecomposed = map[rune]byte{'ø': 'o', 'Ø': 'o', 'ł': 'l', 'Ł': 'l', 'đ': 'd', 'Đ': 'd', 'ħ': 'h', 'Ħ': 'h', 'ı': 'i'}
