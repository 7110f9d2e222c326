package reading

// A word that the lexicon does not know may be one that it knows, typed wrong.
// Only long words are tried, that begin with the same letter, and only the slips
// that thumbs make: a letter left out, two letters swapped, a vowel for another,
// and a plural's s. Short words are too near to one another, and so are words that
// differ in a consonant: "latter" is no letter. What is a word of its own and near
// to one of the lexicon stands in world.txt, under "as they are".

const (
	shortestTypo  = 6 // letters
	shortestVowel = 7 // … for a vowel taken for another
)

// typos finds the words of a vocabulary that were typed wrong.
type typos struct {
	lacking map[uint64]int32 // a word without one of its letters, hashed, to the word; the first of several
}

// newTypos indexes the words of a vocabulary.
func newTypos(index map[string]int32) typos {
	t := typos{make(map[uint64]int32, 8*len(index))}
	for word, id := range index {
		if len(word) <= shortestTypo || !isPlainWord(word) {
			continue
		}
		for i := 1; i < len(word); i++ {
			h := hashWithout(word, i)
			if known, ok := t.lacking[h]; !ok || id < known {
				t.lacking[h] = id
			}
		}
	}
	return t
}

func isPlainWord[T string | []byte](word T) bool {
	for i := range len(word) {
		if word[i] < 'a' || word[i] > 'z' {
			return false
		}
	}
	return true
}

// hashWithout hashes a word without its letter i; len(word) leaves out none.
func hashWithout[T string | []byte](word T, i int) uint64 {
	h := uint64(len(word))
	if i < len(word) {
		h--
	}
	for n := range len(word) {
		if n != i {
			h = mix(h, uint64(word[n]))
		}
	}
	return h
}

// typo returns the index of the word that was meant, or unknownWord. It spoils
// spare.
func (v *vocabulary) typo(word []byte, spare *[]byte) int32 {
	if len(word) < shortestTypo || !isPlainWord(word) {
		return unknownWord
	}
	if id, ok := v.typos.lacking[hashWithout(word, len(word))]; ok {
		return id
	}
	try := append((*spare)[:0], word...)
	*spare = try
	for i := 1; i+1 < len(try); i++ {
		try[i], try[i+1] = try[i+1], try[i]
		id, ok := v.index[string(try)]
		try[i], try[i+1] = try[i+1], try[i]
		if ok {
			return id
		}
	}
	if cut := word[:len(word)-1]; word[len(cut)] == 's' {
		if id, ok := v.index[string(cut)]; ok {
			return id
		}
	}
	if len(word) < shortestVowel {
		return unknownWord
	}
	for i := 1; i < len(try); i++ {
		was := try[i]
		if !isVowel(was) {
			continue
		}
		for _, c := range "aeiou" {
			try[i] = byte(c)
			if id, ok := v.index[string(try)]; ok {
				return id
			}
		}
		try[i] = was
	}
	return unknownWord
}

func isVowel(c byte) bool {
	switch c {
	case 'a', 'e', 'i', 'o', 'u':
		return true
	}
	return false
}
